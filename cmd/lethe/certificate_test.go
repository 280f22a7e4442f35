package main

import (
	"bytes"
	"testing"
)

func TestRenderMakesOnePDFOrNone(t *testing.T) {
	p := newProofs(t)
	file := p.read(t, "certificate.json")
	p.write(t, "digit", bytes.Replace(file, []byte(`"deleted": 12`), []byte(`"deleted": 13`), 1))
	p.write(t, "index", bytes.Replace(file, []byte(`index 9\n`), []byte(`index 8\n`), 1))
	p.run(t, 1, newCertificateCommand(), "render", p.path("digit"), "-o", p.path("digit.pdf"))
	p.run(t, 1, newCertificateCommand(), "render", p.path("index"), "-o", p.path("index.pdf"))
	p.run(t, 2, newCertificateCommand(), "render", p.path("nowhere"), "-o", p.path("nowhere.pdf"))
	p.run(t, 2, newCertificateCommand(), "render", p.path("certificate.json"), "-o", p.path("nowhere/x.pdf"))
	p.run(t, 2, newCertificateCommand(), "render", p.path("certificate.json"))
	p.run(t, 0, newCertificateCommand(), "render", p.path("certificate.json"), "-o", p.path("good.pdf"))
	p.run(t, 0, newCertificateCommand(), "render", p.path("certificate.json"), "-o", p.path("again.pdf"))
	if !bytes.Equal(p.read(t, "good.pdf"), p.read(t, "again.pdf")) {
		t.Error("the same certificate made two different PDFs")
	}
	p.nothingHalf(t, "digit.pdf", "index.pdf", "nowhere.pdf")
}
