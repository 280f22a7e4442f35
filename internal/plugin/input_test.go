package plugin

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
)

func TestIdentitiesAreReadAsLinesOrJSON(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want identities
	}{
		"lines":            {"# a person\nemail=a@example.org\nemail = b@example.org\n\nphone=\n", identities{"email": {"a@example.org", "b@example.org"}, "phone": {}}},
		"equals in value":  {"token=a=b", identities{"token": {"a=b"}}},
		"JSON":             {` {"email": ["a@example.org", "b@example.org"], "phone": "", "fax": []}`, identities{"email": {"a@example.org", "b@example.org"}, "phone": {}, "fax": {}}},
		"nothing":          {"", identities{}},
		"carriage returns": {"email=a@example.org\r\nphone=7\r\n", identities{"email": {"a@example.org"}, "phone": {"7"}}},
	} {
		got, err := parseIdentities([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := string(identities{"email": {"a", "b"}}.secretData()["email"]); got != "a\nb" {
		t.Errorf("%q", got)
	}
}

// Errors go to terminals and logs of pipelines: none repeats what it read.
func TestNoErrorOnIdentitiesShowsAValue(t *testing.T) {
	for name, text := range map[string]string{
		"no name":          "canary@example.org",
		"address as name":  "canary@example.org=x",
		"broken JSON":      `{"email": "canary@example.org"`,
		"number":           `{"email": 5550101, "phone": "canary"}`,
		"break in a value": `{"email": "canary\nexample.org"}`,
		"nested":           `{"email": {"canary": "x"}}`,
	} {
		_, err := parseIdentities([]byte(text))
		if err == nil {
			t.Errorf("%s is taken", name)
		} else if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "5550101") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzIdentities(f *testing.F) {
	f.Add("email=a@example.org")
	f.Add(`{"email":["a"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseIdentities([]byte(text))
		if err != nil {
			return
		}
		for name, values := range got {
			if !identityName.MatchString(name) || strings.Contains(name, "@") {
				t.Errorf("the name %q cannot be a key of a Secret", name)
			}
			for _, v := range values {
				if v == "" || strings.ContainsAny(v, "\n\r") {
					t.Errorf("%q is no value of a line", v)
				}
			}
		}
	})
}

func TestIdentitiesAreAskedForOneByOne(t *testing.T) {
	var said bytes.Buffer
	s := &session{Options: Options{Streams: genericiooptions.IOStreams{ErrOut: &said}}}
	got, err := s.ask([]string{"email", "phone"}, bufio.NewScanner(strings.NewReader("a\nb\n\n\n")))
	if err != nil || !cmp.Equal(got, identities{"email": {"a", "b"}, "phone": {}}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := s.ask([]string{"email"}, bufio.NewScanner(strings.NewReader("a"))); err == nil {
		t.Error("half an answer is taken")
	}
	if err := got.check([]string{"email"}); err == nil || !strings.Contains(err.Error(), "phone") {
		t.Errorf("an identity that no map names: %v", err)
	}
}

// The operator is told who asks by the token that kubectl itself would use, wherever that comes from.
func TestTheTokenIsThatOfTheCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "login")
	body := "#!/bin/sh\necho '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"from-plugin\"}}'\n"
	if err := os.WriteFile(script, []byte(body), 0o700); err != nil {
		t.Fatal(err)
	}
	for want, config := range map[string]*rest.Config{
		"mine":        {Host: "https://127.0.0.1:1", BearerToken: "mine"},
		"from-file":   {Host: "https://127.0.0.1:1", BearerTokenFile: file},
		"from-plugin": {Host: "https://127.0.0.1:1", ExecProvider: &api.ExecConfig{Command: script, APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: api.NeverExecInteractiveMode}},
		"":            {Host: "https://127.0.0.1:1", Username: "u", Password: "p"},
	} {
		got, err := bearer(config)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v", want, got, err)
		}
	}
}
