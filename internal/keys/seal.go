package keys

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"io"
	"sync"
)

// A sealed text is: version, flags, nonce (12 bytes), AES-256-GCM ciphertext with its tag (16 bytes). Version and flags
// are authenticated together with the caller's additional data.
const (
	sealVersion   = 1
	flagDeflated  = 1
	sealHeader    = 2
	worthDeflate  = 1024 // below, deflating costs more than it saves
	sealNonceSize = 12
)

// ErrUnsealed means that a sealed text does not open: another key, other additional data, or it was changed.
var ErrUnsealed = errors.New("sealed data does not open: wrong key, wrong place or changed content")

// A deflate writer is about a megabyte, too much to make for every plan.
var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(io.Discard, flate.BestSpeed) // fails for unknown levels only
	return w
}}

// Seal encrypts plaintext under a key of Size bytes and binds it to additionalData, which says where it belongs: opening
// needs the same. Long texts are compressed first.
func Seal(key, plaintext, additionalData []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	var flags byte
	if len(plaintext) >= worthDeflate {
		if small := deflate(plaintext); len(small) < len(plaintext) {
			plaintext, flags = small, flagDeflated
		}
	}
	out := make([]byte, sealHeader+sealNonceSize, sealHeader+sealNonceSize+len(plaintext)+aead.Overhead())
	out[0], out[1] = sealVersion, flags
	if _, err := rand.Read(out[sealHeader:]); err != nil {
		return nil, err
	}
	return aead.Seal(out, out[sealHeader:], plaintext, bound(out[:sealHeader], additionalData)), nil
}

// Open decrypts what Seal made.
func Open(key, sealed, additionalData []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < sealHeader+sealNonceSize+aead.Overhead() || sealed[0] != sealVersion || sealed[1]&^flagDeflated != 0 {
		return nil, ErrUnsealed
	}
	nonce, text := sealed[sealHeader:sealHeader+sealNonceSize], sealed[sealHeader+sealNonceSize:]
	plaintext, err := aead.Open(nil, nonce, text, bound(sealed[:sealHeader], additionalData))
	if err != nil {
		return nil, ErrUnsealed
	}
	if sealed[1]&flagDeflated == 0 {
		return plaintext, nil
	}
	// Authenticated, hence our own: no bound on its length is needed.
	plaintext, err = io.ReadAll(flate.NewReader(bytes.NewReader(plaintext)))
	if err != nil {
		return nil, ErrUnsealed
	}
	return plaintext, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != Size {
		return nil, ErrInvalid
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func bound(header, additionalData []byte) []byte {
	return append(append(make([]byte, 0, len(header)+len(additionalData)), header...), additionalData...)
}

func deflate(text []byte) []byte {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	_, _ = w.Write(text) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}
