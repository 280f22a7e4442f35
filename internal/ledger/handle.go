package ledger

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// handleTimeSize is how many bytes of a handle tell the time, in milliseconds.
const handleTimeSize = 6

// NewHandle makes the handle of a request that was received at a time: a UUID of version 7 (RFC 9562). It begins with the time, so
// that in an index the keys of requests of one time, which begin with their handles, are beside each other; the rest is random.
func NewHandle(received time.Time) string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(received.UnixMilli()))
	copy(id[:handleTimeSize], at[8-handleTimeSize:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	var text [36]byte
	for i, part := range [...]struct{ at, from, to int }{{0, 0, 4}, {9, 4, 6}, {14, 6, 8}, {19, 8, 10}, {24, 10, 16}} {
		hex.Encode(text[part.at:], id[part.from:part.to])
		if i > 0 {
			text[part.at-1] = '-'
		}
	}
	return string(text[:])
}

// HandleTime are the bytes of the time with which a handle begins. The handles of former releases are random from the beginning.
func HandleTime(handle string) (at [handleTimeSize]byte, ok bool) {
	if len(handle) != 36 || handle[8] != '-' || handle[13] != '-' || handle[14] != '7' {
		return at, false
	}
	if _, err := hex.Decode(at[:4], []byte(handle[:8])); err != nil {
		return at, false
	}
	_, err := hex.Decode(at[4:], []byte(handle[9:13]))
	return at, err == nil
}
