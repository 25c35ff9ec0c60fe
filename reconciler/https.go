// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

const (
	maxErrorBody  = 4 << 10 // bytes of an answer that is an error
	maxCredential = 64 << 10
	maxCAFile     = 16 << 20
	// defaultUser is what GitHub wants beside a token of an application; other forges take any name beside a token.
	defaultUser = "x-access-token"
)

// dialHTTP makes a client of its own for one visit: files of credentials are read anew, and nothing is shared with other users of go-git.
func dialHTTP(at address, auth Auth, transfer int64) (transport.UploadPackSession, secrets, error) {
	method, hide, err := httpAuth(at, auth)
	if err != nil {
		return nil, hide, err
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if auth.CAFile != "" {
		if tr.TLSClientConfig.RootCAs, err = certificates(auth.CAFile); err != nil {
			return nil, hide, err
		}
	}
	client := githttp.NewClientWithOptions(&http.Client{Transport: &guard{tr, transfer + 1<<20}}, nil)
	ep := at.Endpoint // a redirect changes the session's own
	conn, err := client.NewUploadPackSession(&ep, method)
	if err != nil {
		return nil, hide, err
	}
	return &httpSession{conn, tr}, hide, nil
}

// httpSession closes its connections at the end.
type httpSession struct {
	transport.UploadPackSession
	tr *http.Transport
}

func (s *httpSession) Close() error {
	err := s.UploadPackSession.Close()
	s.tr.CloseIdleConnections()
	return err
}

// guard bounds what a server may send, and refuses to be redirected to plain http elsewhere.
type guard struct {
	next  http.RoundTripper
	limit int64
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !isLoopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("the server redirects to plain http at %q", req.URL.Hostname())
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	limit := &limitedBody{resp.Body, g.limit, g.limit}
	if resp.StatusCode >= 300 {
		limit.left, limit.limit = maxErrorBody, 0
	}
	resp.Body = limit
	return resp, nil
}

// limitedBody ends with an error after limit bytes, or in silence when limit is 0.
type limitedBody struct {
	io.ReadCloser
	left, limit int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if b.limit == 0 {
			return 0, io.EOF
		}
		return 0, &limitError{fmt.Sprintf("sends more than %d bytes", b.limit)}
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// httpAuth returns the credentials, or nil for none, and what must never be printed.
func httpAuth(at address, auth Auth) (transport.AuthMethod, secrets, error) {
	hide := secrets{}.with(at.user, at.password)
	password, err := credential(auth)
	if err != nil {
		return nil, hide, err
	}
	if password != "" && at.password != "" {
		return nil, hide, errors.New("a password stands in the URL and another one is named; take it out of the URL")
	}
	password = cmp.Or(password, at.password)
	user := cmp.Or(auth.User, at.user)
	if password == "" && user == "" {
		return nil, hide, nil
	}
	if at.password == "" && auth.User == "" && at.user != "" {
		hide = hide.with(at.user, at.user) // a token is often given as the user
	}
	user = cmp.Or(user, defaultUser)
	hide = hide.with(user, password)
	if auth.Bearer {
		return &githttp.TokenAuth{Token: password}, hide, nil
	}
	return &githttp.BasicAuth{Username: user, Password: password}, hide, nil
}

func credential(auth Auth) (string, error) {
	switch {
	case auth.PasswordFile != "" && auth.PasswordEnv != "":
		return "", errors.New("both a file and an environment variable are named for the token; want one")
	case auth.PasswordEnv != "":
		s := strings.TrimSpace(os.Getenv(auth.PasswordEnv))
		if s == "" {
			return "", fmt.Errorf("environment variable %q is empty; put the token there", auth.PasswordEnv)
		}
		return s, nil
	case auth.PasswordFile != "":
		data, err := readBounded(auth.PasswordFile, maxCredential)
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		s := strings.TrimSpace(string(data))
		if s == "" || strings.ContainsAny(s, "\r\n\x00") {
			return "", fmt.Errorf("token file %q is empty or has several lines; want the token alone", auth.PasswordFile)
		}
		return s, nil
	}
	return "", nil
}

func certificates(file string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without certificates of its own
	}
	data, err := readBounded(file, maxCAFile)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("CA file %q holds no certificate; want PEM blocks of type CERTIFICATE", file)
	}
	return pool, nil
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%q has more than %d bytes", name, limit)
	}
	return data, err
}
