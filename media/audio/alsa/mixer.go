package alsa

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kind is what a control holds.
type Kind int32

// The kinds that can be set, with the kernel's numbers.
const (
	Boolean    Kind = 1
	Integer    Kind = 2
	Enumerated Kind = 3
)

// maxItems bounds the choices that are asked for, and maxControls the controls of a card.
const (
	maxItems    = 256
	maxControls = 4096
)

// Control is a control of a card's mixer.
type Control struct {
	Name   string // such as "Master Playback Volume"
	Index  int    // tells controls of one name apart
	Kind   Kind
	Count  int      // values, mostly one for each channel
	Min    int      // of Integer
	Max    int      // of Integer
	Items  []string // of Enumerated
	Locked bool     // cannot be written now

	id elemID
}

// Label is the name as Set takes it: with ",INDEX" unless that is 0, and with "@DEVICE.SUBDEVICE" for a control of a PCM
// device.
func (c *Control) Label() string {
	label := c.Name
	if c.Index != 0 {
		label += fmt.Sprintf(",%d", c.Index)
	}
	const ofPCM = 3 // SNDRV_CTL_ELEM_IFACE_PCM
	if c.id.iface == ofPCM {
		label += fmt.Sprintf("@%d.%d", c.id.device, c.id.subdevice)
	}
	return label
}

// allowed says in words what the control takes.
func (c *Control) allowed() string {
	switch c.Kind {
	case Boolean:
		return "on, off"
	case Integer:
		return fmt.Sprintf("%d to %d, 0%% to 100%%", c.Min, c.Max)
	case Enumerated:
		return strings.Join(c.Items, ", ")
	}
	return "nothing: a control of this kind cannot be set"
}

// Mixer is the open control device of a card. One goroutine uses it.
type Mixer struct {
	card     Card
	fd       int
	controls []Control
}

// OpenMixer opens a card's controls, named by the card's id or name, and lists them.
func OpenMixer(card string) (*Mixer, error) {
	c, err := find(card)
	if err != nil {
		return nil, err
	}
	node := fmt.Sprintf("%s/controlC%d", devices, c.Number)
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: node, Err: sentinel(err)}
	}
	m := &Mixer{card: c, fd: fd}
	if err := m.list(); err != nil {
		unix.Close(fd)
		return nil, m.fail("list the controls", err)
	}
	return m, nil
}

func (m *Mixer) fail(what string, err error) error {
	return fmt.Errorf("sound card %q, %s: %w", m.card.ID, what, sentinel(err))
}

// list asks for every control.
func (m *Mixer) list() error {
	var l elemList
	if err := ioctl(m.fd, ctlElemList, unsafe.Pointer(&l)); err != nil {
		return err
	}
	ids := make([]elemID, min(l.count, maxControls))
	if len(ids) == 0 {
		return nil
	}
	l = elemList{space: uint32(len(ids)), ids: unsafe.Pointer(&ids[0])}
	if err := ioctl(m.fd, ctlElemList, unsafe.Pointer(&l)); err != nil {
		return err
	}
	for _, id := range ids[:min(int(l.used), len(ids))] {
		c, err := m.describe(id)
		if errors.Is(err, unix.ENOENT) {
			continue // removed since
		}
		if err != nil {
			return fmt.Errorf("control %q: %w", text(id.name[:]), err)
		}
		m.controls = append(m.controls, c)
	}
	return nil
}

func (m *Mixer) describe(id elemID) (Control, error) {
	info := elemInfo{id: id}
	if err := ioctl(m.fd, ctlElemInfo, unsafe.Pointer(&info)); err != nil {
		return Control{}, err
	}
	const canWrite = 1 << 1 // SNDRV_CTL_ELEM_ACCESS_WRITE
	c := Control{
		Name: text(id.name[:]), Index: int(id.index), Kind: Kind(info.kind), Count: int(info.count),
		Locked: info.access&canWrite == 0, id: id,
	}
	switch c.Kind {
	case Integer:
		v := (*elemIntegers)(unsafe.Pointer(&info.value))
		c.Min, c.Max = v.min, v.max
	case Enumerated:
		n := (*elemItems)(unsafe.Pointer(&info.value)).items
		for i := range min(n, maxItems) {
			item := elemInfo{id: id}
			v := (*elemItems)(unsafe.Pointer(&item.value))
			v.item = i
			if err := ioctl(m.fd, ctlElemInfo, unsafe.Pointer(&item)); err != nil {
				return Control{}, err
			}
			c.Items = append(c.Items, text(v.name[:]))
		}
	}
	return c, nil
}

// Controls lists what the card had when it was opened.
func (m *Mixer) Controls() []Control { return slices.Clone(m.controls) }

// find looks a control up by its label.
func (m *Mixer) find(label string) (*Control, error) {
	for i := range m.controls {
		if m.controls[i].Label() == label {
			return &m.controls[i], nil
		}
	}
	there := make([]string, len(m.controls))
	for i := range m.controls {
		there[i] = m.controls[i].Label()
	}
	return nil, &Error{Card: m.card.ID, Param: "control", Value: strconv.Quote(label), Allowed: strings.Join(there, ", "), Err: ErrNoControl}
}

// Get returns a control's values: numbers, 0 and 1, or numbers of Items.
func (m *Mixer) Get(label string) ([]int, error) {
	c, err := m.find(label)
	if err != nil {
		return nil, err
	}
	v := elemValue{id: c.id}
	if err := ioctl(m.fd, ctlElemRead, unsafe.Pointer(&v)); err != nil {
		return nil, m.fail(fmt.Sprintf("read control %q", label), err)
	}
	out := make([]int, min(c.Count, len(v.value)))
	for i := range out {
		out[i] = v.get(c.Kind, i)
	}
	return out, nil
}

// get returns value i: an enumerated control holds 32-bit numbers, the others longs.
func (v *elemValue) get(k Kind, i int) int {
	if k == Enumerated {
		return int((*[len(v.value)]uint32)(unsafe.Pointer(&v.value))[i])
	}
	return v.value[i]
}

func (v *elemValue) set(k Kind, i, to int) {
	if k == Enumerated {
		(*[len(v.value)]uint32)(unsafe.Pointer(&v.value))[i] = uint32(to)
		return
	}
	v.value[i] = to
}

// Set writes a control, named by its label: "on" or "off", a number, a part such as "80%", or the name of a choice. Several
// values with commas between them go to the channels in order; the last one goes to the rest.
func (m *Mixer) Set(label, value string) error {
	c, err := m.find(label)
	if err != nil {
		return err
	}
	refuse := &Error{Card: m.card.ID, Param: fmt.Sprintf("control %q", label), Value: strconv.Quote(value), Allowed: c.allowed(), Err: ErrParam}
	if c.Locked {
		refuse.Allowed = "nothing: it can only be read"
		return refuse
	}
	parts := []string{value}
	if c.Kind != Enumerated { // a choice's name may have a comma
		parts = strings.Split(value, ",")
	}
	v := elemValue{id: c.id}
	count := min(c.Count, len(v.value))
	if len(parts) > count {
		return refuse
	}
	for i := range count {
		n, ok := c.number(strings.TrimSpace(parts[min(i, len(parts)-1)]))
		if !ok {
			return refuse
		}
		v.set(c.Kind, i, n)
	}
	if err := ioctl(m.fd, ctlElemWrite, unsafe.Pointer(&v)); err != nil {
		return m.fail(fmt.Sprintf("set control %q to %q", label, value), err)
	}
	return nil
}

// number reads one value in the words of Set.
func (c *Control) number(s string) (int, bool) {
	switch c.Kind {
	case Boolean:
		switch s {
		case "on", "1":
			return 1, true
		case "off", "0":
			return 0, true
		}
	case Integer:
		if part, ok := strings.CutSuffix(s, "%"); ok {
			p, err := strconv.ParseFloat(part, 64)
			return c.Min + int(math.Round(float64(c.Max-c.Min)*p/100)), err == nil && p >= 0 && p <= 100
		}
		n, err := strconv.Atoi(s)
		return n, err == nil && n >= c.Min && n <= c.Max
	case Enumerated:
		i := slices.Index(c.Items, s)
		return i, i >= 0
	}
	return 0, false
}

// Alive returns ErrGone if the card has been pulled.
func (m *Mixer) Alive() error {
	var info cardInfo
	if err := ioctl(m.fd, ctlCardInfo, unsafe.Pointer(&info)); err != nil {
		return m.fail("check", err)
	}
	return nil
}

// Close frees the device. It can be called again.
func (m *Mixer) Close() error {
	if m.fd < 0 {
		return nil
	}
	fd := m.fd
	m.fd = -1
	return unix.Close(fd)
}
