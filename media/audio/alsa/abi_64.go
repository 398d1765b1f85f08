//go:build amd64 || arm64

package alsa

// Sizes of the kernel's structures (include/uapi/sound/asound.h) where long has 64 bits.
const (
	sizeHwParams  = 608
	sizeSwParams  = 136
	sizeXfer      = 24
	sizeElemList  = 80
	sizeElemValue = 1224
)
