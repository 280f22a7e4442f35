package pdf

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func document(t *testing.T, rows int) []byte {
	t.Helper()
	d, err := New(Head{Title: "Title", Running: "Running head", Foot: []string{"first foot", "second foot"}, Created: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	d.Attach(Attachment{Name: "file.json", Description: "x", Content: []byte(`{"attached":true}`)})
	d.Title("Bewerbermanagement – Größe, Żółć, Čeština, Türkçe", "Кандидаты и резюме, Μητρώο υποψηφίων, מועמדים")
	d.Result("Result", strings.Repeat("a sentence that goes on ", 20))
	d.Section("Facts")
	d.Facts(Fact{"Long", strings.Repeat("x", 400)}, Fact{"Left out", ""}, Fact{"Path", strings.Repeat("folder/", 40)})
	var table [][]string
	for i := range rows {
		table = append(table, []string{fmt.Sprintf("категория-%d", i), "1", strings.Repeat("Rechtsgrundlage § 147 AO ", 1+i%9)})
	}
	d.Table([]Column{{Name: "Kατηγορία", Share: 2}, {Name: "Number", Share: 1, Number: true}, {Name: "Basis", Share: 3}}, table)
	d.Paragraph("候補者 and 👩 are not in the fonts.")
	d.Verbatim("a line\n\n" + strings.Repeat("0123456789", 30))
	var out bytes.Buffer
	if err := d.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestTheSameContentMakesTheSameBytes(t *testing.T) {
	first := document(t, 120)
	for range 5 {
		if !bytes.Equal(document(t, 120), first) {
			t.Fatal("two documents of one content differ")
		}
	}
}

func TestLettersThatTheFontsLackAreShownByTheirCodes(t *testing.T) {
	d, err := New(Head{})
	if err != nil {
		t.Fatal(err)
	}
	if found, want := d.Printable("Ärger, Ωμέγα, Ёлка, ţară, 候, 👩"), "Ärger, Ωμέγα, Ёлка, ţară, [U+5019], [U+1F469]"; found != want {
		t.Errorf("%s, want %s", found, want)
	}
}

// Every line stays within the page, whatever is in it.
func TestNothingIsWiderThanItsPlace(t *testing.T) {
	d, err := New(Head{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", " ", "word", strings.Repeat("w", 300), strings.Repeat("Ж", 300), strings.Repeat("a b ", 200), strings.Repeat("path/to-some_file.name", 20)} {
		d.set(sans, "", 9, ink)
		var back strings.Builder
		for _, line := range d.wrap(text, 40) {
			if d.pdf.GetStringWidth(line) > 40 {
				t.Errorf("too wide: %s", line)
			}
			back.WriteString(line)
		}
		if strings.ReplaceAll(text, " ", "") != strings.ReplaceAll(back.String(), " ", "") {
			t.Errorf("something of %q was lost", text)
		}
	}
}

// What a reader sees, by a program that is not ours.
func TestAReaderFindsTheText(t *testing.T) {
	pdftotext := os.Getenv("LETHE_PDFTOTEXT")
	if pdftotext == "" {
		t.Fatal("LETHE_PDFTOTEXT is not set: run make test, or set it to what hack/deps.sh pdftotext prints")
	}
	path := filepath.Join(t.TempDir(), "d.pdf")
	if err := os.WriteFile(path, document(t, 120), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(pdftotext, "-layout", path, "-").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Größe, Żółć, Čeština,", "Türkçe", "Кандидаты и резюме", "Μητρώο υποψηφίων", "категория-119", "Rechtsgrundlage § 147 AO", "[U+5019]", "Page 1 of 8", "Page 8 of 8"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s is not in the text", want)
		}
	}
	if n := bytes.Count(text, []byte("Kατηγορία")); n < 5 {
		t.Errorf("the head of the table is on %d pages", n)
	}
}
