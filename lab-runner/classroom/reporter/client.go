package reporter

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"wheelhouse/lab-runner/render"
)

const (
	answerMost = 64 << 10 // bytes that are read of an answer
	headerMost = 16 << 10
	joinTime   = 20 * time.Second // the class itself has 15
	leaveTime  = 5 * time.Second
)

// ErrEnded is returned when the class has no such session: it was ended, replaced, or is over.
var ErrEnded = errors.New("your session in the class is over, and nothing is reported to it any more: 'lab join' joins again")

// client sends requests to one class.
type client struct {
	address, token string
	http           *http.Client
}

// newClient returns a client that follows no redirect, not even to the same host: a class has one address.
func newClient(config *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, MaxResponseHeaderBytes: headerMost, DisableCompression: true,
			TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// client returns the client of a class.
func (c *Class) client() (*client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(c.Authority)) {
		return nil, errors.New("there is no certificate in what is to be trusted: want PEM")
	}
	return &client{c.Address, c.Token, newClient(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool})}, nil
}

// unreached returns the error of a request without what is the same in each.
func unreached(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = errors.New("no answer in time")
	}
	return fmt.Errorf("the class cannot be reached: %s", line(err.Error(), 300))
}

// line returns what another has written as one line of at most so many characters, which a terminal does not obey.
func line(text string, most int) string {
	text = strings.Join(strings.Fields(text[:min(len(text), 16*most)]), " ")
	if runes := []rune(text[:min(len(text), 4*most)]); len(runes) > most {
		text = string(runes[:most]) + " ..."
	} else {
		text = string(runes)
	}
	return render.Visible(text)
}

// post sends a request, and decodes the answer into out.
func (c *client) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Wheelhouse", "1")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return unreached(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, answerMost))
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return ErrEnded
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return errors.New("the class sends to another address, which is not followed: join with the address that the instructor shows")
	case err != nil:
		return unreached(err)
	case res.StatusCode >= 300:
		var says struct{ Error string }
		if json.Unmarshal(text, &says) != nil || says.Error == "" {
			says.Error = http.StatusText(res.StatusCode)
		}
		return fmt.Errorf("the class answers %d: %s", res.StatusCode, line(says.Error, 300))
	}
	if err := json.Unmarshal(text, out); err != nil {
		return errors.New("the answer is not that of a class: look at the address")
	}
	return nil
}

var tokens = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]+$`)

// Join joins as Name, with the room's code. A name that is taken needs its return code, or before: the token of an earlier
// session in this class. It sets Token and Name, and returns the code to come back with, "" if the class gives none.
func (c *Class) Join(ctx context.Context, code, back, before string) (returnCode string, err error) {
	to, err := c.client()
	if err != nil {
		return "", err
	}
	defer to.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	to.token = before
	in := map[string]string{"client": "lab", "code": code, "name": c.Name, "returnCode": back}
	var out struct{ Token, Name, ReturnCode string }
	if err := to.post(ctx, "api/join", in, &out); err != nil {
		return "", err
	}
	if len(out.Token) > tokenMost || !tokens.MatchString(out.Token) {
		return "", errors.New("the answer is not that of a class: look at the address")
	}
	c.Token, c.Name = out.Token, line(out.Name, 100)
	return line(out.ReturnCode, 100), nil
}

// Leave ends the session in the class. One that is over already is no error.
func (c *Class) Leave(ctx context.Context) error {
	to, err := c.client()
	if err != nil {
		return err
	}
	defer to.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	if err := to.post(ctx, "api/leave", struct{}{}, &struct{}{}); !errors.Is(err, ErrEnded) {
		return err
	}
	return nil
}
