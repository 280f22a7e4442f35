package promises

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

// onSmallVolume is the SQLite file on a volume of its own.
type onSmallVolume struct{ embedded }

func (onSmallVolume) empty(o *harness.OperatorOptions) {
	GinkgoHelper()
	o.Folder = GinkgoTB().TempDir()
	if err := syscall.Mount("tmpfs", o.Folder, "tmpfs", 0, "size=8m"); err != nil {
		Skip("a volume that can be filled takes the right to mount one: " + err.Error())
	}
	DeferCleanup(func() { Expect(syscall.Unmount(o.Folder, syscall.MNT_DETACH)).To(Succeed()) })
}

var _ = Describe("A volume that is full", func() {
	keptIn(onSmallVolume{})

	It("lets nothing be erased, says so, and goes on when there is room", func() {
		w := newWorld(ada, bob)
		w.create(harness.Request(w.ns, "waits", ada)...)
		Eventually(w.stage("waits")).Should(Equal("Pending/GracePeriod"))
		before := w.ats.Digest(ada, bob)
		rest := filepath.Join(w.options.Folder, "rest")
		fill(rest)

		Expect(w.change("waits", func(er *v1alpha1.ErasureRequest) { er.Spec.Timing = v1alpha1.TimingImmediate })).To(Succeed())
		Eventually(w.stage("waits")).Should(Equal("Pending/LedgerUnavailable"))
		Expect(w.message("waits")).To(ContainSubstring("full"))
		Consistently(func() string { return w.ats.Digest(ada, bob) }).Should(Equal(before))

		Expect(os.Remove(rest)).To(Succeed())
		w.poke("waits")
		Eventually(w.stage("waits")).Should(Equal("Completed/Erased"))
		Expect(w.ats.Rows(ada)).To(BeEmpty())
	})
})

// fill writes a file until nothing more fits.
func fill(path string) {
	GinkgoHelper()
	file, err := os.Create(path)
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(file.Close()).To(Succeed()) }()
	for size := 1 << 20; size > 0 && err == nil; {
		if _, err = file.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size, err = size/16, nil
		}
	}
	Expect(err).NotTo(HaveOccurred())
}
