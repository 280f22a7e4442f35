package backendtest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const childEnv = "LETHE_TEST_CHILD"

// nobody has no rights but those that everybody has.
const nobody = 65534

// InChild runs the test that calls it once more, in a process of its own whose user has no rights over the files of others, in a
// folder of its own. It tells whether this is that process, and returns the folder; what the other one does is left to it.
func InChild(t *testing.T) (folder string, child bool) {
	t.Helper()
	if folder = os.Getenv(childEnv); folder != "" {
		return folder, true
	}
	folder, err := os.MkdirTemp("", "lethe-child-") // that of t.TempDir lies in one that its owner alone may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder, false
}

// RunChild runs it, and returns what it wrote and how it ended.
func RunChild(t *testing.T, folder string) (output string, err error) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir, cmd.Env = folder, append(os.Environ(), childEnv+"="+folder, "TMPDIR="+folder)
	if os.Geteuid() == 0 {
		if err := os.Chown(folder, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Unprivileged runs a test as a user to whom modes of files apply, which they do not to root. It returns false where this
// process has nothing more to do.
func Unprivileged(t *testing.T) (folder string, ok bool) {
	t.Helper()
	folder, child := InChild(t)
	if child {
		return folder, true
	}
	if out, err := RunChild(t, folder); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return "", false
}
