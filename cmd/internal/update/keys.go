package update

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ReadKeys reads the public keys (PEM, RFC 8410) in the first of the files that has any: a site's own before the image's. A
// file that is there and wrong is an error, beside the keys of the next.
func ReadKeys(paths ...string) ([]ed25519.PublicKey, error) {
	var errs []error
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if keys := ParseKeys(text); len(keys) > 0 {
			return keys, errors.Join(errs...)
		}
		errs = append(errs, fmt.Errorf("%s: holds no ed25519 public key; copy update.pub of the site there", path))
	}
	return nil, errors.Join(errs...)
}

// ParseKeys reads the public keys in a text.
func ParseKeys(text []byte) (keys []ed25519.PublicKey) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		any, err := x509.ParsePKIXPublicKey(block.Bytes)
		if key, is := any.(ed25519.PublicKey); err == nil && is {
			keys = append(keys, key)
		}
	}
	return keys
}

// ShowKey is a key as the line of update.pub has it, so that people can compare.
func ShowKey(key ed25519.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(fmt.Sprintf("update: an ed25519 key has no DER form: %v", err))
	}
	return base64.StdEncoding.EncodeToString(der)
}

// ReadPrivateKey reads the site's update.key (PEM, PKCS #8).
func ReadPrivateKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; want update.key of the site's folder, which `parkctl site new` makes", err)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: holds no PEM key; `parkctl site` makes update.key", path)
	}
	if block.Type == "PUBLIC KEY" {
		return nil, fmt.Errorf("%s: is a public key; update.key signs, which `parkctl site` makes", path)
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; `parkctl site` makes update.key", path, err)
	}
	key, is := any.(ed25519.PrivateKey)
	if !is {
		return nil, fmt.Errorf("%s: is a key of another kind; want update.key of the site's folder, not ca.key", path)
	}
	return key, nil
}
