// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/writ-sec/writ/reconciler/gitauth"
)

const maxErrorBody = 4 << 10 // bytes of an answer that is an error

// dialHTTP makes a client of its own for one visit: files of credentials are read anew, and nothing is shared with other users of go-git.
func dialHTTP(at gitauth.Address, auth Auth, transfer int64) (transport.UploadPackSession, gitauth.Secrets, error) {
	method, hide, err := auth.HTTP(at)
	if err != nil {
		return nil, hide, err
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if tr.TLSClientConfig.RootCAs, err = auth.CAPool(); err != nil {
		return nil, hide, err
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
	if req.URL.Scheme != "https" && !gitauth.IsLoopback(req.URL.Hostname()) {
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
