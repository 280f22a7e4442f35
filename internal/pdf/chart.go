package pdf

import "fmt"

// Tiles writes names and values side by side in boxes, for what a reader wants to see first; at most six.
func (d *Document) Tiles(tiles ...Fact) {
	const height, gap = 15.0, 2.5
	d.room(height + 4)
	each := (width - gap*float64(len(tiles)-1)) / float64(len(tiles))
	x, y := margin, d.pdf.GetY()
	for _, t := range tiles {
		d.pdf.SetFillColor(band.r, band.g, band.b)
		d.pdf.Rect(x, y, each, height, "F")
		d.pdf.SetXY(x+2, y+1.8)
		d.set(sans, "B", 14, accent)
		d.pdf.CellFormat(each-4, 7, d.Printable(t.Value), "", 0, "L", false, 0, "")
		d.pdf.SetXY(x+2, y+8.8)
		d.set(sans, "", 8.3, quiet)
		d.pdf.CellFormat(each-4, 4.5, d.Printable(t.Name), "", 0, "L", false, 0, "")
		x += each + gap
	}
	d.pdf.SetXY(margin, y+height+3.5)
}

// Bar of a chart.
type Bar struct {
	Label string
	Value int64
}

// Chart draws bars from left to right; the first, the middle and the last have their labels below them.
func (d *Document) Chart(name string, bars []Bar) {
	const height, axis = 30.0, 14.0
	d.room(height + 20)
	d.set(sans, "", 8.3, quiet)
	d.pdf.CellFormat(width, 5, d.Printable(name), "", 1, "L", false, 0, "")
	most := int64(1)
	for _, b := range bars {
		most = max(most, b.Value)
	}
	y := d.pdf.GetY() + 2
	bottom := y + height
	d.pdf.SetDrawColor(rule.r, rule.g, rule.b)
	d.pdf.SetLineWidth(0.2)
	for _, line := range []struct {
		at    float64
		label string
	}{{y, fmt.Sprint(most)}, {bottom, "0"}} {
		d.pdf.Line(margin+axis, line.at, 210-margin, line.at)
		d.pdf.SetXY(margin, line.at-2)
		d.pdf.CellFormat(axis-1.5, 4, line.label, "", 0, "R", false, 0, "")
	}
	step := (width - axis) / float64(max(len(bars), 1))
	thick := min(step*0.75, 9)
	d.pdf.SetFillColor(accent.r, accent.g, accent.b)
	for i, b := range bars {
		x := margin + axis + step*float64(i)
		if b.Value > 0 {
			high := max(height*float64(b.Value)/float64(most), 0.4)
			d.pdf.Rect(x+(step-thick)/2, bottom-high, thick, high, "F")
		}
		if len(bars) > 3 && i != 0 && i != len(bars)/2 && i != len(bars)-1 {
			continue
		}
		at := min(max(x+step/2-12, margin+axis), 210-margin-24)
		d.pdf.SetXY(at, bottom+0.8)
		d.pdf.CellFormat(24, 4, d.Printable(b.Label), "", 0, "C", false, 0, "")
	}
	d.pdf.SetXY(margin, bottom+7)
}

// Subject begins a part within a section, in a fixed-width font for what it is about.
func (d *Document) Subject(name, word string) {
	d.room(62)
	d.pdf.Ln(2)
	y := d.pdf.GetY()
	d.pdf.SetFillColor(accent.r, accent.g, accent.b)
	d.pdf.Rect(margin, y+0.6, 1.2, 5, "F")
	d.pdf.SetX(margin + 3.5)
	d.set(mono, "", 9.5, ink)
	d.pdf.CellFormat(width-43, 6.2, d.Printable(name), "", 0, "L", false, 0, "")
	d.set(sans, "B", 9.5, accent)
	d.pdf.CellFormat(39, 6.2, d.Printable(word), "", 1, "R", false, 0, "")
	d.pdf.Ln(0.8)
}

// Together begins a new page if there is not that much left on this one, in millimetres.
func (d *Document) Together(height float64) { d.room(height) }

// Page begins a new page.
func (d *Document) Page() { d.pdf.AddPage() }
