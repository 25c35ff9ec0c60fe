// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// exception checks an exception.
func (r *report) exception(x *schema.Exception) {
	if len(x.Findings) == 0 {
		r.fail([]string{"finding"}, "finding names nothing that is excepted; want an ID such as \"CVE-2026-12345\": {}")
	}
	for _, id := range x.Findings {
		if why := findingID(id); why != "" {
			r.fail([]string{"finding", id}, "finding %.150q %s", id, why)
		}
	}
	if len(x.Images) == 0 {
		r.fail([]string{"images"}, "images names none that the exception is for; want a pattern such as \"registry.example.com/shop/*\": {}")
	}
	for _, pattern := range x.Images {
		r.imagePattern([]string{"images", pattern}, "image pattern", pattern)
	}
	r.owner(nil, x.Owner)
	if strings.TrimSpace(x.Why) == "" {
		r.fail([]string{"why"}, "why is empty; want the reason why the finding is no danger there")
	}
	r.reason(x.Why)
	r.date([]string{"expires"}, x.Expires)
	r.limits([]string{"patch"}, x.Patch)
}

// signer checks a signer.
func (r *report) signer(s *schema.Signer) {
	r.owner(nil, s.Owner)
	r.reason(s.Why)
	key := r.states([]string{"key"}, s.Key != "")
	switch {
	case key && s.Keyless != nil:
		r.fail([]string{"keyless"}, "stands beside key; want one of them, and a signer for each")
	case !key && s.Keyless == nil:
		r.fail(nil, "says neither \"key\" nor \"keyless\"; want one of them")
	case key:
		if err := publicKey(s.Key); err != nil {
			r.fail([]string{"key"}, "key %v", err)
		}
	default:
		r.keyless(s.Keyless)
	}
}

// minRSA is the least size of an RSA key in bits (NIST SP 800-131A).
const minRSA = 2048

// publicKey says why a text is not a public key. It does not repeat the text, which may be secret by mistake.
func publicKey(text string) error {
	block, rest := pem.Decode([]byte(text))
	const want = "want one block \"-----BEGIN PUBLIC KEY-----\""
	switch {
	case block == nil:
		return fmt.Errorf("is not PEM; %s", want)
	case strings.Contains(block.Type, "PRIVATE"):
		return errors.New("is a private key, which must not stand in a repository; want the pair replaced, and here one block \"-----BEGIN PUBLIC KEY-----\"")
	case block.Type != "PUBLIC KEY":
		return fmt.Errorf("is a PEM block of type %.50q; %s", block.Type, want)
	case strings.TrimSpace(string(rest)) != "":
		return fmt.Errorf("has something after its PEM block; %s", want)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("is not a public key (PKIX, RFC 5280): %.100s; %s", err.Error(), want)
	}
	switch k := parsed.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return fmt.Errorf("is an RSA key of %d bits; want at least %d", k.N.BitLen(), minRSA)
		}
	default:
		return fmt.Errorf("is of a kind that signs no images (%T); want ECDSA, Ed25519 or RSA", parsed)
	}
	return nil
}

func (r *report) keyless(k *schema.Keyless) {
	at := []string{"keyless", "issuer"}
	u, err := url.Parse(k.Issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		r.fail(at, "keyless.issuer %.200q is not the URL of an issuer; want such as \"https://token.actions.githubusercontent.com\"", k.Issuer)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		r.fail(at, "keyless.issuer %.200q has more than a host and a path; want the issuer as its certificates name it", k.Issuer)
	}
	at = []string{"keyless", "identity"}
	switch {
	case k.Identity == "":
		r.fail(at, "keyless.identity is empty; want the subject of the certificate, such as \"https://github.com/acme/app/.github/workflows/release.yaml@refs/heads/main\"")
	case strings.Trim(k.Identity, "*/") == "" || strings.Trim(k.Identity, "*/") == "https:":
		r.warn(codeAnyone, at, "keyless.identity %q is anybody whom the issuer knows; want the subject of the certificate", k.Identity)
	default:
		if err := plainText(k.Identity); err != nil {
			r.fail(at, "keyless.identity %.300q %v; want the subject of the certificate", k.Identity, err)
		}
	}
}
