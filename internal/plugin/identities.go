package plugin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/cli"
)

// maxIdentities bounds what is read of a person's identities.
const maxIdentities = 1 << 20

// identityName is a name that a key of a Secret can have.
var identityName = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)

// identities of one person, by name; each may have several values, or none.
type identities map[string][]string

// secretData is what the Secret holds: a value a line.
func (i identities) secretData() map[string][]byte {
	data := map[string][]byte{}
	for name, values := range i {
		data[name] = []byte(strings.Join(values, "\n"))
	}
	return data
}

// parseIdentities reads a JSON object of names and texts, or lists of texts; or lines NAME=VALUE. No error repeats a value.
func parseIdentities(text []byte) (identities, error) {
	out := identities{}
	if trimmed := bytes.TrimSpace(text); bytes.HasPrefix(trimmed, []byte("{")) {
		return out, out.parseJSON(trimmed)
	}
	scanner := bufio.NewScanner(bytes.NewReader(text))
	scanner.Buffer(nil, maxIdentities)
	for line := 1; scanner.Scan(); line++ {
		one := strings.TrimSpace(scanner.Text())
		if one == "" || strings.HasPrefix(one, "#") {
			continue
		}
		name, value, ok := strings.Cut(one, "=")
		if !ok {
			return nil, fmt.Errorf("line %d is not NAME=VALUE, for example email=...; give a JSON object or such lines", line)
		}
		if err := out.add(strings.TrimSpace(name), strings.TrimSpace(value)); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	return out, scanner.Err()
}

func (i identities) parseJSON(text []byte) error {
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil { // the error might show what it read
		return errors.New("it begins as JSON, but is no JSON object of names and texts")
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		var one string
		var many []string
		if json.Unmarshal(object[name], &one) == nil {
			many = []string{one}
		} else if json.Unmarshal(object[name], &many) != nil {
			return errors.New("each identity must be a text or a list of texts")
		}
		if len(many) == 0 {
			many = []string{""}
		}
		for _, value := range many {
			if err := i.add(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i identities) add(name, value string) error {
	if !identityName.MatchString(name) || strings.Contains(name, "@") {
		return errors.New("the name of an identity has letters, digits, '-', '_' and '.', as the maps name it")
	}
	if strings.ContainsAny(value, "\r\n") {
		return fmt.Errorf("a value of %s has a line break: several values are several lines %s=VALUE, or a list", name, name)
	}
	if i[name] == nil {
		i[name] = []string{} // named, without a value
	}
	if value != "" {
		i[name] = append(i[name], value)
	}
	return nil
}

// identityNames are the identities that the namespace's maps name. Known is false where that may not be read.
func identityNames(ctx context.Context, c client.Client, namespace string) (names []string, known bool, err error) {
	var list v1alpha1.PersonalDataMapList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		if apierrors.IsForbidden(err) {
			err = nil
		}
		return nil, false, err
	}
	found := map[string]bool{}
	for i := range list.Items {
		for _, e := range list.Items[i].Spec.Entities {
			for _, m := range e.IdentifiedBy {
				found[m.Identity] = m.Identity != v1alpha1.IdentityID
			}
		}
	}
	maps.DeleteFunc(found, func(_ string, wanted bool) bool { return !wanted })
	return slices.Sorted(maps.Keys(found)), true, nil
}

// check tells of what the maps name and nobody gave, and the other way round.
func (i identities) check(names []string) error {
	for _, name := range names {
		if _, ok := i[name]; !ok {
			return fmt.Errorf("the identity %s is missing: the maps of the namespace find people by it. Give it, or %s= with nothing behind it if the person has none", name, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no map of the namespace finds people by the identity %s; leave it out, or correct its name (there are: %s)", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// readIdentities reads them from a file, from standard input ("-"), or asks for them on a terminal. Never from arguments: these
// stay in the shell's history and in lists of processes.
func (s *session) readIdentities(file string, names []string) (identities, error) {
	if file == "" {
		return s.askIdentities(names)
	}
	in, from := s.Streams.In, "standard input"
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("--identities %s cannot be read: %w", file, cli.Cause(err))
		}
		defer func() { _ = opened.Close() }()
		in, from = opened, file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxIdentities+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("--identities %s cannot be read: %w", from, cli.Cause(err))
	case len(text) > maxIdentities:
		return nil, fmt.Errorf("--identities %s has more than %d bytes", from, maxIdentities)
	}
	out, err := parseIdentities(text)
	if err != nil {
		return nil, fmt.Errorf("--identities %s: %w", from, err)
	}
	return out, nil
}

// isTerminal tells whether somebody can be asked.
func isTerminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func (s *session) askIdentities(names []string) (identities, error) {
	if len(names) == 0 {
		return identities{}, nil
	}
	if !isTerminal(s.Streams.In) {
		return nil, fmt.Errorf("the maps find people by %s: give these with --identities FILE, or - for standard input, or take them from the records with --from-records", strings.Join(names, ", "))
	}
	return s.ask(names, bufio.NewScanner(s.Streams.In))
}

func (s *session) ask(names []string, lines *bufio.Scanner) (identities, error) {
	out := identities{}
	_, _ = fmt.Fprintln(s.Streams.ErrOut, "The person's identities, one value a line; an empty line ends each, at once if the person has none.")
	for _, name := range names {
		out[name] = []string{}
		for {
			_, _ = fmt.Fprintf(s.Streams.ErrOut, "%s: ", name)
			if !lines.Scan() {
				return nil, errors.New("the input ended before all identities were given; nothing was created")
			}
			value := strings.TrimSpace(lines.Text())
			if value == "" {
				break
			}
			out[name] = append(out[name], value)
		}
	}
	return out, nil
}
