package treelog

import (
	"bytes"

	"github.com/klauspost/compress/zstd"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// longTexts are bytes from which texts are packed. Shorter ones fit beside others into a page of the database as they are.
const longTexts = 2 << 10

// frameMagic begins every Zstandard frame (RFC 8878, section 3.1.1). No canonical text begins with it: they begin with a brace.
var frameMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

var (
	packer   = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(64<<10)))
	unpacker = must(zstd.NewReader(nil, zstd.WithDecoderMaxMemory(BundleSize*(ledger.MaxLeaf+1))))
)

func must[T any](t T, err error) T {
	if err != nil {
		panic("treelog: " + err.Error()) // the options are constants
	}
	return t
}

// pack makes a frame of long texts: an append waits for the disk, and a frame is a fraction of the pages.
func pack(texts []byte) []byte {
	if len(texts) < longTexts {
		return texts
	}
	return packer.EncodeAll(texts, make([]byte, 0, len(texts)/2))
}

// unpack returns an error for a frame that is damaged, or larger than a bundle can be.
func unpack(leaves []byte) ([]byte, error) {
	if !bytes.HasPrefix(leaves, frameMagic) {
		return leaves, nil
	}
	return unpacker.DecodeAll(leaves, nil)
}
