// Package crash names the places where the death of the process would be worst, so that a test can kill the operator at
// each of them. In an ordinary build a point does nothing; with the build tag crashpoints the process kills itself at
// the point that the environment variable LETHE_CRASH_AT names.
package crash

import "sort"

// Point is one place in the code.
type Point struct{ name string }

var points []string

// Define makes a point; it is called once for each, from a package-level variable, so that Points knows all of them.
func Define(name string) Point {
	points = append(points, name)
	return Point{name: name}
}

// Points lists the names of all points.
func Points() []string {
	all := append([]string(nil), points...)
	sort.Strings(all)
	return all
}
