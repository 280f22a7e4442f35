// Package notify tells people outside the cluster, as CloudEvents 1.0 over HTTPS, what is announced and can still be objected to.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// TypeAnnounced is the CloudEvents type of an announced run of a retention rule. Its data is an Announcement.
const TypeAnnounced = "dev.lethe.retention.announced.v1"

// patience is how long one event may take.
const patience = 10 * time.Second

// Announcement of a run: numbers and names of objects, nothing of the records.
type Announcement struct {
	Namespace string `json:"namespace"`
	// Run is the name of the DeletionRun, Policy and Rule are what it follows.
	Run    string `json:"run"`
	Policy string `json:"policy"`
	Rule   string `json:"rule"`
	// ScheduledAt is when it begins.
	ScheduledAt time.Time `json:"scheduledAt"`
	// Due of Total records go then.
	Due   int64 `json:"due"`
	Total int64 `json:"total"`
	// ID tells announcements apart. One that is told twice has it twice.
	ID string `json:"-"`
	// At is the time of the announcement.
	At time.Time `json:"-"`
}

// Endpoint takes CloudEvents by POST, in structured mode.
type Endpoint struct {
	url       string
	tokenFile string
	client    *http.Client
}

// Open checks an address, https://host/path. The file, if there is one, has a bearer token; it is read anew for each event.
func Open(address, tokenFile string) (*Endpoint, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && !loopback(u) || u.Host == "" || u.User != nil {
		return nil, errors.New("it must be https://host/path, without a user in it")
	}
	return &Endpoint{url: address, tokenFile: tokenFile, client: &http.Client{Timeout: patience,
		// Another place than the one that was named is none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// loopback lets a receiver on the same machine, such as a proxy in the Pod, have plain HTTP.
func loopback(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme == "http" && (host == "127.0.0.1" || host == "::1" || host == "localhost")
}

// Announce tells of a run. An error means that nobody knows whether it was heard: it is to be told again.
func (e *Endpoint) Announce(ctx context.Context, a Announcement) error {
	body, err := encode(a)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", event.ApplicationCloudEventsJSON)
	if e.tokenFile != "" {
		token, err := os.ReadFile(e.tokenFile)
		if err != nil {
			return fmt.Errorf("the token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	res, err := e.client.Do(req)
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err // without the address, which may be a secret
	}
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the event was answered with %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	return nil
}

func encode(a Announcement) ([]byte, error) {
	e := event.New()
	e.SetID(a.ID)
	e.SetType(TypeAnnounced)
	e.SetSource("/apis/privacy.lethe.dev/v1alpha1/namespaces/" + a.Namespace + "/retentionpolicies/" + a.Policy)
	e.SetSubject(a.Run)
	e.SetTime(a.At)
	if err := e.SetData(event.ApplicationJSON, a); err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(e)
}
