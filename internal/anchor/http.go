package anchor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// endpoint is an HTTP server that stores what is PUT, such as one that speaks WebDAV.
type endpoint struct {
	base      *url.URL
	tokenFile string
	client    *http.Client
}

func openHTTP(u *url.URL, o Options) (Place, error) {
	if u.Host == "" || u.RawQuery != "" {
		return nil, errors.New("it must be https://host/path, without parameters")
	}
	return &endpoint{base: u, tokenFile: o.TokenFile, client: &http.Client{Timeout: patience,
		// Another place than the one that was named is none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func (e *endpoint) Name() string { return e.base.Host }

// Keep puts the checkpoint with If-None-Match: *. A server that says 412 or 409 has something there already.
func (e *endpoint) Keep(ctx context.Context, origin string, size uint64, checkpoint []byte) error {
	target := e.base.JoinPath(name("", origin, size)).String()
	status, _, err := e.do(ctx, http.MethodPut, target, checkpoint)
	switch {
	case err != nil:
		return err
	case status/100 == 2:
		return nil
	case status != http.StatusPreconditionFailed && status != http.StatusConflict:
		return refused(http.MethodPut, status)
	}
	status, there, err := e.do(ctx, http.MethodGet, target, nil)
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return fmt.Errorf("%w: %w", ErrUnread, refused(http.MethodGet, status))
	}
	return compare(there, checkpoint)
}

func refused(method string, status int) error {
	return fmt.Errorf("%s was answered with %d %s", method, status, http.StatusText(status))
}

func (e *endpoint) do(ctx context.Context, method, target string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if method == http.MethodPut {
		req.Header.Set("If-None-Match", "*")
		req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	if e.tokenFile != "" {
		token, err := os.ReadFile(e.tokenFile)
		if err != nil {
			return 0, nil, fmt.Errorf("the token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	res, err := e.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxCheckpoint))
	return res.StatusCode, answer, err
}
