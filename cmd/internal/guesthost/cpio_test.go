package guesthost

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// TestSegmentIsACpioArchive has GNU cpio list what we packed.
func TestSegmentIsACpioArchive(t *testing.T) {
	archive := Segment(map[string]File{"hand/agent": {[]byte("12345"), 0o755}, "hand/deep/er/file": {nil, 0o600}, "top": {[]byte("x"), 0o644}})
	if len(archive)%4 != 0 {
		t.Errorf("%d bytes are no multiple of 4", len(archive))
	}
	cmd := exec.Command("cpio", "-tv", "--quiet", "-n")
	cmd.Stdin = bytes.NewReader(archive)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cpio: %v\n%s", err, out)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		got = append(got, f[0]+" "+f[4]+" "+f[len(f)-1])
	}
	want := "drwxr-xr-x 0 hand|-rwxr-xr-x 5 hand/agent|drwxr-xr-x 0 hand/deep|drwxr-xr-x 0 hand/deep/er|-rw------- 0 hand/deep/er/file|-rw-r--r-- 1 top"
	if strings.Join(got, "|") != want {
		t.Errorf("cpio lists\n%s\nwant\n%s", strings.Join(got, "|"), want)
	}
}
