package pki

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

// TestHugeKey: the signature of a request by a huge key is not checked. The request is put
// together by hand, as nobody could make such a key.
func TestHugeKey(t *testing.T) {
	type publicKey struct {
		N *big.Int
		E int
	}
	type keyInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	type info struct {
		Version    int
		Subject    asn1.RawValue
		Key        keyInfo
		Attributes asn1.RawValue
	}
	type request struct {
		Info      info
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	null := asn1.RawValue{FullBytes: []byte{5, 0}}
	bits := func(b []byte) asn1.BitString { return asn1.BitString{Bytes: b, BitLength: 8 * len(b)} }
	encode := func(v any) []byte {
		der, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	for size, want := range map[int]string{1024: "verification error", 1025: "RSA key of 8200 bits"} {
		modulus := bytes.Repeat([]byte{0xff}, size)
		signature := bytes.Repeat([]byte{0x01}, size)
		der := encode(request{
			Info: info{
				Subject: asn1.RawValue{FullBytes: []byte{0x30, 0}},
				Key: keyInfo{
					pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Parameters: null},
					bits(encode(publicKey{new(big.Int).SetBytes(modulus), 65537})),
				},
				Attributes: asn1.RawValue{FullBytes: []byte{0xa0, 0}},
			},
			Algorithm: pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: null},
			Signature: bits(signature),
		})
		_, err := parseRequest(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a key of %d bytes: %v, want %q", size, err, want)
		}
	}
}
