// Package pdf lays out the documents that Lethe hands out: A4 pages with a head, numbered pages, tables that go on over
// pages, and embedded fonts with Latin, Greek, Cyrillic and Hebrew letters. The same content makes the same bytes.
package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"codeberg.org/go-fonts/liberation/liberationmonoregular"
	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/sfnt"
)

// Measures in millimetres.
const (
	margin = 18.0
	width  = 210 - 2*margin
	footer = 20.0
)

const (
	sans = "sans"
	mono = "mono"
)

type colour struct{ r, g, b int }

var (
	ink    = colour{28, 33, 40}
	quiet  = colour{95, 104, 115}
	rule   = colour{200, 206, 213}
	band   = colour{240, 243, 246}
	accent = colour{22, 78, 99}
)

// Head is what stands on every page.
type Head struct {
	Title, Subject string
	// Running stands on top of the pages after the first.
	Running string
	// Foot stands at the bottom of every page, in a fixed-width font; at most two lines.
	Foot []string
	// Created is the document's date.
	Created time.Time
}

// Attachment is a file within the document.
type Attachment struct {
	Name, Description string
	Content           []byte
}

// Document is a document that is being made.
type Document struct {
	pdf  *fpdf.Fpdf
	head Head
	font *sfnt.Font
	buf  sfnt.Buffer
}

// New begins a document with its first page.
func New(head Head) (*Document, error) {
	font, err := sfnt.Parse(liberationsansregular.TTF)
	if err != nil {
		return nil, errors.New("the document's font cannot be read")
	}
	p := fpdf.New("P", "mm", "A4", "")
	p.SetCatalogSort(true)
	p.SetCreationDate(head.Created.UTC())
	p.SetModificationDate(head.Created.UTC())
	p.SetProducer("Lethe", true)
	p.SetTitle(head.Title, true)
	p.SetSubject(head.Subject, true)
	p.SetLang("en")
	p.AddUTF8FontFromBytes(sans, "", liberationsansregular.TTF)
	p.AddUTF8FontFromBytes(sans, "B", liberationsansbold.TTF)
	p.AddUTF8FontFromBytes(mono, "", liberationmonoregular.TTF)
	p.SetMargins(margin, margin, margin)
	p.SetAutoPageBreak(false, footer)
	p.AliasNbPages("{pages}")
	d := &Document{pdf: p, head: head, font: font}
	p.SetHeaderFunc(d.top)
	p.SetFooterFunc(d.bottom)
	p.AddPage()
	return d, p.Error()
}

// Attach puts files into the document.
func (d *Document) Attach(files ...Attachment) {
	var list []fpdf.Attachment
	for _, f := range files {
		list = append(list, fpdf.Attachment{Content: f.Content, Filename: f.Name, Description: f.Description})
	}
	d.pdf.SetAttachments(list)
}

// Write ends the document.
func (d *Document) Write(to io.Writer) error {
	var out bytes.Buffer
	if err := d.pdf.Output(&out); err != nil {
		return errors.New("the document cannot be laid out")
	}
	_, err := to.Write(out.Bytes())
	return err
}

func (d *Document) set(family, style string, size float64, c colour) {
	d.pdf.SetFont(family, style, size)
	d.pdf.SetTextColor(c.r, c.g, c.b)
}

func (d *Document) top() {
	if d.pdf.PageNo() == 1 {
		d.pdf.SetFillColor(accent.r, accent.g, accent.b)
		d.pdf.Rect(0, 0, 210, 6, "F")
		d.pdf.SetY(margin)
		return
	}
	d.pdf.SetY(10)
	d.set(sans, "", 8, quiet)
	d.pdf.CellFormat(width, 5, d.Printable(d.head.Running), "", 1, "L", false, 0, "")
	d.line(d.pdf.GetY() + 0.5)
	d.pdf.SetY(margin + 2)
}

func (d *Document) bottom() {
	d.pdf.SetY(-footer + 3)
	d.line(d.pdf.GetY())
	d.pdf.SetY(-footer + 4.5)
	d.set(mono, "", 6.5, quiet)
	for _, foot := range d.head.Foot {
		d.pdf.CellFormat(width-22, 3.2, d.Printable(foot), "", 1, "L", false, 0, "")
	}
	// Set to the left, because how many pages there are is known only later.
	d.pdf.SetXY(210-margin-20, -footer+4.5)
	d.set(sans, "", 8, quiet)
	d.pdf.CellFormat(20, 3.4, fmt.Sprintf("Page %d of {pages}", d.pdf.PageNo()), "", 0, "L", false, 0, "")
}

func (d *Document) line(y float64) {
	d.pdf.SetDrawColor(rule.r, rule.g, rule.b)
	d.pdf.SetLineWidth(0.2)
	d.pdf.Line(margin, y, 210-margin, y)
}

// room begins a new page if there is not that much left on this one.
func (d *Document) room(height float64) {
	if d.pdf.GetY()+height > 297-footer {
		d.pdf.AddPage()
	}
}

// Printable shows letters that the fonts do not have by their code points.
func (d *Document) Printable(text string) string {
	var out strings.Builder
	for _, r := range text {
		index, err := d.font.GlyphIndex(&d.buf, r)
		switch {
		case r == '\t' || r == '\n':
			out.WriteByte(' ')
		case err != nil || index == 0 || r > 0xffff:
			fmt.Fprintf(&out, "[U+%04X]", r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// wrap breaks a text at spaces, and within words that are wider than a line.
func (d *Document) wrap(text string, most float64) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(d.Printable(text)) {
		if whole := strings.TrimPrefix(line+" "+word, " "); d.pdf.GetStringWidth(whole) <= most {
			line = whole
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for d.pdf.GetStringWidth(word) > most {
			cut := d.fits(word, most)
			lines, word = append(lines, word[:cut]), word[cut:]
		}
		line = word
	}
	return append(lines, line)
}

// fits is how many bytes of a word have room: up to a sign at which names are broken by habit, where there is one.
func (d *Document) fits(word string, most float64) int {
	end := 0
	for i, r := range word {
		next := i + len(string(r))
		if end > 0 && d.pdf.GetStringWidth(word[:next]) > most {
			break
		}
		end = next
	}
	if at := strings.LastIndexAny(word[:end], "/-_."); at > end/2 {
		return at + 1
	}
	return end
}
