//go:build arm

package alsa

// Sizes of the kernel's structures (include/uapi/sound/asound.h) on 32-bit arm (EABI), where a long long is aligned to
// eight bytes: an elem_value has 712 bytes, not 708 as on i386, and every request number contains such a size.
const (
	sizeHwParams  = 604
	sizeSwParams  = 104
	sizeXfer      = 12
	sizeElemList  = 72
	sizeElemValue = 712
)
