package update

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ReadKeys reads the public keys (PEM, RFC 8410) in the files that exist. A file that is there and wrong is an error, beside
// the keys of the others.
func ReadKeys(paths ...string) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
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
		found := 0
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			any, err := x509.ParsePKIXPublicKey(block.Bytes)
			if key, is := any.(ed25519.PublicKey); err == nil && is {
				keys = append(keys, key)
				found++
			}
		}
		if found == 0 {
			errs = append(errs, fmt.Errorf("%s: holds no ed25519 public key; copy update.pub of the site there", path))
		}
	}
	return keys, errors.Join(errs...)
}

// ReadPrivateKey reads the site's update.key (PEM, PKCS #8).
func ReadPrivateKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
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
		return nil, fmt.Errorf("%s: is a %T; must be an ed25519 key, as `parkctl site` makes update.key", path, any)
	}
	return key, nil
}
