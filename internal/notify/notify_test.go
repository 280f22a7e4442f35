package notify_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/notify"
)

var announcement = notify.Announcement{Namespace: "hr", Run: "candidates-old-20270101t000000", Policy: "candidates", Rule: "old", ID: "uid.old.1/announced",
	ScheduledAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), At: time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC), Due: 12, Total: 300}

func TestAnnouncementIsACloudEvent(t *testing.T) {
	g := NewWithT(t)
	var got event.Event
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		g.Expect(json.NewDecoder(r.Body).Decode(&got)).To(Succeed())
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	g.Expect(os.WriteFile(token, []byte("abc\n"), 0o600)).To(Succeed())
	e, err := notify.Open(server.URL+"/events", token)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(e.Announce(context.Background(), announcement)).To(Succeed())
	g.Expect(header.Get("Content-Type")).To(Equal("application/cloudevents+json"))
	g.Expect(header.Get("Authorization")).To(Equal("Bearer abc"))
	g.Expect(got.Validate()).To(Succeed())
	g.Expect([]string{got.SpecVersion(), got.Type(), got.Source(), got.Subject(), got.ID()}).To(Equal([]string{"1.0", "dev.lethe.retention.announced.v1",
		"/apis/privacy.lethe.dev/v1alpha1/namespaces/hr/retentionpolicies/candidates", "candidates-old-20270101t000000", "uid.old.1/announced"}))
	g.Expect(got.Data()).To(MatchJSON(`{"namespace": "hr", "run": "candidates-old-20270101t000000", "policy": "candidates", "rule": "old",
		"scheduledAt": "2027-01-01T00:00:00Z", "due": 12, "total": 300}`))
}

func TestWhoDoesNotHearIsToldAgain(t *testing.T) {
	g := NewWithT(t)
	answer := http.StatusServiceUnavailable
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", answer) }))
	e, err := notify.Open(server.URL, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(e.Announce(context.Background(), announcement)).To(MatchError("the event was answered with 503 Service Unavailable"))
	answer = http.StatusTemporaryRedirect
	g.Expect(e.Announce(context.Background(), announcement)).To(MatchError("the event was answered with 307 Temporary Redirect"))
	server.Close()
	g.Expect(e.Announce(context.Background(), announcement)).To(MatchError(And(ContainSubstring("refused"), Not(ContainSubstring("http")))))
	absent, err := notify.Open(server.URL, filepath.Join(t.TempDir(), "absent"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(absent.Announce(context.Background(), announcement)).To(MatchError(ContainSubstring("the token: ")))
}

func TestPlaces(t *testing.T) {
	g := NewWithT(t)
	for _, good := range []string{"https://events.example/lethe", "https://events.example:8443/?key=1", "http://127.0.0.1:8080", "http://localhost/x"} {
		_, err := notify.Open(good, "")
		g.Expect(err).NotTo(HaveOccurred(), good)
	}
	for _, bad := range []string{"", "events.example", "http://events.example/", "https://", "ftp://events.example", "https://user:secret@events.example", "https://a b"} {
		_, err := notify.Open(bad, "")
		g.Expect(err).To(MatchError("it must be https://host/path, without a user in it"), bad)
	}
}
