// Package chart tests the Helm chart: what values make of it, that it agrees with the kustomize tree, and that it installs on a
// real API server with rights that the operator can work with.
package chart

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/test/harness"
)

var chartFolder = filepath.Join(harness.Root(), "charts", "lethe")

// tool is a program that the Makefile builds.
func tool(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(harness.Root(), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("bin/%s is not there: run make bin/%s", name, name)
	}
	return path
}

// run runs a program and returns its output, or its errors.
func run(path string, args ...string) (string, error) {
	cmd := exec.Command(path, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(path), strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// objects are those of a tree of manifests, by kind and name (and namespace, where it is not the release's).
type objects map[string]*unstructured.Unstructured

const releaseNamespace = "lethe-system"

func parse(t *testing.T, text string) objects {
	t.Helper()
	out := objects{}
	for _, document := range strings.Split("\n"+text, "\n---") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object.Object) == 0 {
			continue
		}
		key := object.GetKind() + " " + object.GetName()
		if ns := object.GetNamespace(); ns != "" && ns != releaseNamespace {
			key += " in " + ns
		}
		if out[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		out[key] = object
	}
	return out
}

// render is what helm makes of the chart with values, as arguments of helm template.
func render(t *testing.T, args ...string) (objects, error) {
	t.Helper()
	text, err := run(tool(t, "helm"), append([]string{"template", "lethe", chartFolder, "--namespace", releaseNamespace}, args...)...)
	if err != nil {
		return nil, err
	}
	return parse(t, text), nil
}

func mustRender(t *testing.T, args ...string) objects {
	t.Helper()
	out, err := render(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// as converts an object to its type, strictly.
func as[T any](t *testing.T, o objects, key string) *T {
	t.Helper()
	found := o[key]
	if found == nil {
		t.Fatalf("there is no %s, but %s", key, strings.Join(o.keys(), ", "))
	}
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(found.Object, into, true); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return into
}

func (o objects) keys() []string {
	var out []string
	for key := range o {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}

func (o objects) without(kind string) objects {
	out := objects{}
	for key, object := range o {
		if object.GetKind() != kind {
			out[key] = object
		}
	}
	return out
}

func (o objects) deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	for key := range o {
		if strings.HasPrefix(key, "Deployment ") {
			return as[appsv1.Deployment](t, o, key)
		}
	}
	t.Fatal("there is no Deployment")
	return nil
}

func (o objects) args(t *testing.T) []string {
	t.Helper()
	return o.deployment(t).Spec.Template.Spec.Containers[0].Args
}

// sets are the sets of values of charts/lethe/ci, by name, and the defaults.
func sets(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chartFolder, "ci", "*-values.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sets of values: %v", err)
	}
	out := map[string][]string{"default": nil}
	for _, f := range files {
		out[strings.TrimSuffix(filepath.Base(f), "-values.yaml")] = []string{"--values", f}
	}
	return out
}

// pods are the Pods that the objects lead to, by name.
func (o objects) pods(t *testing.T) map[string]*corev1.PodTemplateSpec {
	t.Helper()
	out := map[string]*corev1.PodTemplateSpec{"Deployment": &o.deployment(t).Spec.Template}
	for key, object := range o {
		if object.GetKind() == "Pod" {
			pod := as[corev1.Pod](t, o, key)
			out[key] = &corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}
		}
	}
	return out
}

// rules of all roles of a kind.
func (o objects) rules(t *testing.T, kind string) []rbacv1.PolicyRule {
	t.Helper()
	var out []rbacv1.PolicyRule
	for key, object := range o {
		switch {
		case object.GetKind() != kind:
		case kind == "ClusterRole":
			out = append(out, as[rbacv1.ClusterRole](t, o, key).Rules...)
		default:
			out = append(out, as[rbacv1.Role](t, o, key).Rules...)
		}
	}
	return out
}
