package alsa

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's structures. Go aligns a 64-bit number to four bytes on arm, the kernel to eight: there is none here, and
// where the kernel's union is aligned for one, the padding is written out. long is int (ulong: uint).

type (
	long  = int
	ulong = uint
)

// pcmInfo is struct snd_pcm_info; only the number of free subdevices is read of it.
type pcmInfo struct {
	_              [204]byte
	subdevicesFree uint32
	_              [80]byte
}

type mask [8]uint32

// interval is struct snd_interval. Its flags are bits from the lowest: open minimum, open maximum, integer, empty.
type interval struct {
	min, max uint32
	flags    uint32
}

// Numbers of the parameters in hwParams: masks from 0, intervals from 8.
const (
	paramAccess     = 0
	paramFormat     = 1
	paramChannels   = 10 - 8
	paramRate       = 11 - 8
	paramPeriodSize = 13 - 8
	paramBufferSize = 17 - 8

	accessRWInterleaved = 3 // SNDRV_PCM_ACCESS_RW_INTERLEAVED
	formatS16LE         = 2 // SNDRV_PCM_FORMAT_S16_LE
)

// hwParams is struct snd_pcm_hw_params.
type hwParams struct {
	flags     uint32
	masks     [3]mask
	_         [5]mask
	intervals [12]interval
	_         [9]interval
	rmask     uint32
	cmask     uint32
	info      uint32
	msbits    uint32
	rateNum   uint32
	rateDen   uint32
	fifoSize  ulong
	_         [64]byte
}

// swParams is struct snd_pcm_sw_params.
type swParams struct {
	tstampMode       int32
	periodStep       uint32
	sleepMin         uint32
	availMin         ulong
	xferAlign        ulong
	startThreshold   ulong
	stopThreshold    ulong
	silenceThreshold ulong
	silenceSize      ulong
	boundary         ulong
	proto            uint32
	tstampType       uint32
	_                [56]byte
}

// xfer is struct snd_xferi. buf is a pointer for the sake of Go's runtime, which may move a stack.
type xfer struct {
	result long
	buf    unsafe.Pointer
	frames ulong
}

// cardInfo is struct snd_ctl_card_info.
type cardInfo struct {
	card       int32
	_          int32
	id         [16]byte
	driver     [16]byte
	name       [32]byte
	longname   [80]byte
	_          [16]byte
	mixername  [80]byte
	components [128]byte
}

// elemID is struct snd_ctl_elem_id.
type elemID struct {
	numid             uint32
	iface             int32
	device, subdevice uint32
	name              [44]byte
	index             uint32
}

// elemList is struct snd_ctl_elem_list.
type elemList struct {
	offset, space, used, count uint32
	ids                        unsafe.Pointer // of space elemIDs
	_                          [50]byte
}

// elemInfo is struct snd_ctl_elem_info; value is a union of 128 bytes.
type elemInfo struct {
	id     elemID
	kind   int32
	access uint32
	count  uint32
	owner  int32
	value  [128]byte
	_      [64]byte
}

// elemIntegers is the union of an elemInfo of kind integer, elemItems of kind enumerated.
type (
	elemIntegers struct{ min, max, step long }
	elemItems    struct {
		items, item uint32
		name        [64]byte
	}
)

// elemValue is struct snd_ctl_elem_value; value is a union of 128 longs, aligned to eight bytes.
type elemValue struct {
	id       elemID
	indirect uint32
	_        uint32
	value    [128]long
	_        [128]byte
}

// A structure of another size than the kernel's does not compile, for any of the three architectures (`make cross`).
var (
	_ [288]byte           = [unsafe.Sizeof(pcmInfo{})]byte{}
	_ [sizeHwParams]byte  = [unsafe.Sizeof(hwParams{})]byte{}
	_ [sizeSwParams]byte  = [unsafe.Sizeof(swParams{})]byte{}
	_ [sizeXfer]byte      = [unsafe.Sizeof(xfer{})]byte{}
	_ [376]byte           = [unsafe.Sizeof(cardInfo{})]byte{}
	_ [64]byte            = [unsafe.Sizeof(elemID{})]byte{}
	_ [sizeElemList]byte  = [unsafe.Sizeof(elemList{})]byte{}
	_ [272]byte           = [unsafe.Sizeof(elemInfo{})]byte{}
	_ [sizeElemValue]byte = [unsafe.Sizeof(elemValue{})]byte{}
	_ [260]byte           = [unsafe.Offsetof(hwParams{}.intervals)]byte{}
	_ [512]byte           = [unsafe.Offsetof(hwParams{}.rmask)]byte{}
	_ [72]byte            = [unsafe.Offsetof(elemValue{}.value)]byte{}
	_ [80]byte            = [unsafe.Offsetof(elemInfo{}.value)]byte{}
)

// Request numbers are made of direction, type, number and size alike on amd64, arm and arm64.
const (
	dirNone  = 0
	dirWrite = 1 << 30
	dirRead  = 2 << 30

	pcmType = 'A' << 8
	ctlType = 'U' << 8

	pcmHwRefine    = dirRead | dirWrite | pcmType | sizeHwParams<<16 | 0x10
	pcmSetHw       = dirRead | dirWrite | pcmType | sizeHwParams<<16 | 0x11
	pcmSetSw       = dirRead | dirWrite | pcmType | sizeSwParams<<16 | 0x13
	pcmDelay       = dirRead | pcmType | uint(unsafe.Sizeof(long(0)))<<16 | 0x21
	pcmHwSync      = dirNone | pcmType | 0x22
	pcmPrepare     = dirNone | pcmType | 0x40
	pcmStart       = dirNone | pcmType | 0x42
	pcmDrop        = dirNone | pcmType | 0x43
	pcmResume      = dirNone | pcmType | 0x47
	pcmWriteFrames = dirWrite | pcmType | sizeXfer<<16 | 0x50
	pcmReadFrames  = dirRead | pcmType | sizeXfer<<16 | 0x51

	ctlCardInfo  = dirRead | ctlType | 376<<16 | 0x01
	ctlElemList  = dirRead | dirWrite | ctlType | sizeElemList<<16 | 0x10
	ctlElemInfo  = dirRead | dirWrite | ctlType | 272<<16 | 0x11
	ctlElemRead  = dirRead | dirWrite | ctlType | sizeElemValue<<16 | 0x12
	ctlElemWrite = dirRead | dirWrite | ctlType | sizeElemValue<<16 | 0x13
)

// ioctl gives the kernel a structure, or nil. It goes on after an interruption.
func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return errno
	}
}

// text is a C string in an array.
func text(b []byte) string { return unix.ByteSliceToString(b) }
