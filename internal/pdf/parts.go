package pdf

import "strings"

// Title writes the document's title with a line below it.
func (d *Document) Title(title, below string) {
	d.set(sans, "B", 22, accent)
	for _, line := range d.wrap(title, width-2) {
		d.pdf.CellFormat(width, 11, line, "", 1, "L", false, 0, "")
	}
	d.set(sans, "", 10, quiet)
	for _, line := range d.wrap(below, width-2) {
		d.pdf.CellFormat(width, 6, line, "", 1, "L", false, 0, "")
	}
	d.pdf.Ln(3)
}

// Result writes the one sentence that a reader looks for into a box.
func (d *Document) Result(word, sentence string) {
	const inner = width - 10
	d.set(sans, "", 10, ink)
	lines := d.wrap(sentence, inner)
	height := 14 + 4.8*float64(len(lines))
	d.room(height + 4)
	y := d.pdf.GetY()
	d.pdf.SetFillColor(band.r, band.g, band.b)
	d.pdf.Rect(margin, y, width, height, "F")
	d.pdf.SetFillColor(accent.r, accent.g, accent.b)
	d.pdf.Rect(margin, y, 1.6, height, "F")
	d.pdf.SetXY(margin+6, y+3.5)
	d.set(sans, "B", 13, accent)
	d.pdf.CellFormat(inner, 6, d.Printable(word), "", 1, "L", false, 0, "")
	d.set(sans, "", 10, ink)
	for _, line := range lines {
		d.pdf.SetX(margin + 6)
		d.pdf.CellFormat(inner, 4.8, line, "", 1, "L", false, 0, "")
	}
	d.pdf.SetY(y + height + 4)
}

// Section begins a part. It stays with what follows.
func (d *Document) Section(name string) {
	d.room(28)
	d.pdf.Ln(2.5)
	d.set(sans, "B", 11.5, accent)
	d.pdf.CellFormat(width, 6.5, d.Printable(name), "", 1, "L", false, 0, "")
	d.line(d.pdf.GetY())
	d.pdf.Ln(1.8)
}

// Paragraph writes running text.
func (d *Document) Paragraph(text string) {
	d.set(sans, "", 9.5, ink)
	for _, line := range d.wrap(text, width-2) {
		d.room(4.6)
		d.pdf.CellFormat(width, 4.6, line, "", 1, "L", false, 0, "")
	}
	d.pdf.Ln(1.5)
}

// Fact is a name and what belongs to it.
type Fact struct{ Name, Value string }

// Facts writes names and values side by side; facts without a value are left out.
func (d *Document) Facts(facts ...Fact) {
	const left = 44.0
	for _, f := range facts {
		if f.Value == "" {
			continue
		}
		d.set(sans, "", 9.5, ink)
		lines := d.wrap(f.Value, width-left-2)
		d.room(5 * float64(min(len(lines), 3)))
		d.set(sans, "", 9.5, quiet)
		d.pdf.CellFormat(left, 5, d.Printable(f.Name), "", 0, "L", false, 0, "")
		d.set(sans, "", 9.5, ink)
		for i, line := range lines {
			if i > 0 {
				d.room(5)
			}
			d.pdf.SetX(margin + left)
			d.pdf.CellFormat(width-left, 5, line, "", 1, "L", false, 0, "")
		}
	}
	d.pdf.Ln(1)
}

// Verbatim writes lines of a text as they are, in a fixed-width font; a longer line goes on below.
func (d *Document) Verbatim(text string) {
	d.set(mono, "", 7.2, ink)
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		rest := d.Printable(line)
		for first := true; first || rest != ""; first = false {
			cut := len(rest)
			if d.pdf.GetStringWidth(rest) > width-6 {
				cut = d.whole(rest, width-6)
			}
			d.room(3.6)
			d.set(mono, "", 7.2, ink)
			d.pdf.SetFillColor(band.r, band.g, band.b)
			d.pdf.CellFormat(width, 3.6, "  "+rest[:cut], "", 1, "L", true, 0, "")
			rest = rest[cut:]
		}
	}
	d.pdf.Ln(2)
}

// whole is how many bytes have room, wherever that ends.
func (d *Document) whole(text string, most float64) int {
	end := 0
	for i, r := range text {
		next := i + len(string(r))
		if end > 0 && d.pdf.GetStringWidth(text[:next]) > most {
			break
		}
		end = next
	}
	return end
}

// Column of a table.
type Column struct {
	Name string
	// Share of the width.
	Share float64
	// Number is set to the right.
	Number bool
}

// Table writes rows; its head is repeated on every page.
func (d *Document) Table(columns []Column, rows [][]string) {
	var total float64
	for _, c := range columns {
		total += c.Share
	}
	widths := make([]float64, len(columns))
	for i, c := range columns {
		widths[i] = width * c.Share / total
	}
	d.room(16)
	d.tableHead(columns, widths)
	for _, row := range rows {
		d.set(sans, "", 8.8, ink)
		cells, high := make([][]string, len(columns)), 1
		for i := range columns {
			cells[i] = d.wrap(row[i], widths[i]-3)
			high = max(high, len(cells[i]))
		}
		height := 4.3*float64(high) + 1.8
		if d.pdf.GetY()+height > 297-footer {
			d.pdf.AddPage()
			d.tableHead(columns, widths)
		}
		d.tableRow(columns, widths, cells, height)
	}
	d.pdf.Ln(2)
}

func (d *Document) tableHead(columns []Column, widths []float64) {
	d.set(sans, "B", 8.3, quiet)
	d.pdf.SetFillColor(band.r, band.g, band.b)
	for i, c := range columns {
		d.pdf.CellFormat(widths[i], 6, d.Printable(c.Name), "", 0, align(c), true, 0, "")
	}
	d.pdf.Ln(6)
}

func (d *Document) tableRow(columns []Column, widths []float64, cells [][]string, height float64) {
	d.set(sans, "", 8.8, ink)
	x, y := margin, d.pdf.GetY()
	for i, lines := range cells {
		for n, line := range lines {
			d.pdf.SetXY(x, y+0.9+4.3*float64(n))
			d.pdf.CellFormat(widths[i], 4.3, line, "", 0, align(columns[i]), false, 0, "")
		}
		x += widths[i]
	}
	d.pdf.SetY(y + height)
	d.line(y + height)
}

func align(c Column) string {
	if c.Number {
		return "R"
	}
	return "L"
}
