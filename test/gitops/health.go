// Package gitops tells how GitOps tools see Lethe's objects: kstatus, which Flux and others go by, and the health checks that we
// give to Argo CD.
package gitops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/test/harness"
)

// The words of Argo CD.
const (
	Healthy     = "Healthy"
	Progressing = "Progressing"
	Suspended   = "Suspended"
	Degraded    = "Degraded"
)

// State is how an object looks.
type State struct {
	// Flux is what kstatus computes, Argo what our health check returns.
	Flux status.Status
	Argo string
	// Message is Argo CD's.
	Message string
}

// Judge computes both.
func Judge(ctx context.Context, checks HealthChecks, obj *unstructured.Unstructured) (State, error) {
	computed, err := status.Compute(obj)
	if err != nil {
		return State{}, err
	}
	s := State{Flux: computed.Status}
	s.Argo, s.Message, err = checks.Health(ctx, obj)
	return s, err
}

// Agree tells whether both say the same. What waits for its date or a person is paused to Argo CD, and under way to kstatus,
// which has no word for it.
func (s State) Agree() bool {
	switch s.Flux {
	case status.CurrentStatus:
		return s.Argo == Healthy
	case status.FailedStatus:
		return s.Argo == Degraded
	case status.TerminatingStatus:
		return s.Argo == Progressing
	}
	return s.Argo == Progressing || s.Argo == Suspended
}

// HealthChecks are the scripts of config/argocd by kind.
type HealthChecks map[string]string

const healthKey = "resource.customizations.health.privacy.lethe.dev_"

// ReadHealthChecks reads the file that people paste.
func ReadHealthChecks() (HealthChecks, error) {
	text, err := os.ReadFile(filepath.Join(harness.Root(), "config", "argocd", "argocd-cm.yaml"))
	if err != nil {
		return nil, err
	}
	var cm corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &cm); err != nil {
		return nil, err
	}
	checks := HealthChecks{}
	for key, script := range cm.Data {
		if kind, ok := strings.CutPrefix(key, healthKey); ok {
			checks[kind] = script
		}
	}
	return checks, nil
}

// Health runs the script of the object's kind as Argo CD does: with the libraries base, package and table, within a second. A
// kind without a script is Healthy.
func (h HealthChecks) Health(ctx context.Context, obj *unstructured.Unstructured) (health, message string, err error) {
	script, ok := h[obj.GetKind()]
	if !ok {
		return Healthy, "", nil
	}
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for _, lib := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(lib.open), Protect: true}, lua.LString(lib.name)); err != nil {
			return "", "", err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	l.SetContext(ctx)
	l.SetGlobal("obj", luaValue(l, obj.Object))
	if err := l.DoString(script); err != nil {
		return "", "", err
	}
	result, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		return "", "", errors.New("the health check returns no table")
	}
	health = lua.LVAsString(result.RawGetString("status"))
	switch health {
	case Healthy, Progressing, Suspended, Degraded:
		return health, lua.LVAsString(result.RawGetString("message")), nil
	}
	return "", "", fmt.Errorf("the health check returns the status %q", health)
}

func luaValue(l *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	case string:
		return lua.LString(v)
	case []any:
		table := l.CreateTable(len(v), 0)
		for _, item := range v {
			table.Append(luaValue(l, item))
		}
		return table
	case map[string]any:
		table := l.CreateTable(0, len(v))
		for key, item := range v {
			table.RawSetString(key, luaValue(l, item))
		}
		return table
	}
	return lua.LNil
}
