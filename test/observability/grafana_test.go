package observability

import (
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestTheDashboardIsOneOfGrafana: every field is one that Grafana's own types know and of their type, and none is missing.
func TestTheDashboardIsOneOfGrafana(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	var d dashboard.Dashboard //nolint:staticcheck // the classic format, which older versions read too
	err := d.UnmarshalJSONStrict(read(t, "config", "grafana", "lethe.json"))
	if err != nil && err.Error() != "" { // a list of no complaints is an error too
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}
