package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	got, err := parse("users", []byte("# the warehouse\n\nann:wrench\nbob:ham:mer\r\n"))
	if err != nil || len(got) != 2 || got["ann"] != "wrench" || got["bob"] != "ham:mer" {
		t.Errorf("parsed %v, %v", got, err)
	}
}

func TestFaultsNameTheLineAndNoPassword(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no colon", "ann:ok\nsecret\n", "users:2: want user:password"},
		{"no user", ":secret\n", "users:1: want user:password"},
		{"no password", "ann:\n", "users:1: want user:password"},
		{"twice", "ann:secret\nann:secret2\n", "users:2: that user stands in the file already"},
	} {
		_, err := parse("users", []byte(c.text))
		if err == nil || err.Error() != c.want || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func TestGuard(t *testing.T) {
	if g, err := Guard(Default(), nil); g != nil || err != nil {
		t.Errorf("without a file: guard %t, error %v; want neither", g != nil, err)
	}
	missing := Config{PasswordFile: filepath.Join(t.TempDir(), "none"), Realm: "r"}
	if _, err := Guard(missing, nil); err == nil || !strings.Contains(err.Error(), "access.password_file") {
		t.Errorf("a missing file: error %v, want one that names the key", err)
	}
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("ann:wrench\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if g, err := Guard(Config{PasswordFile: file, Realm: "r"}, nil); g == nil || err != nil {
		t.Errorf("with a file: guard %t, error %v", g != nil, err)
	}
}
