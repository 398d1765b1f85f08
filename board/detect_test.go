package board_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"parklamp/board"
)

// The words are those of Linux's device trees.
func TestDetect(t *testing.T) {
	for model, compatible := range map[string][]string{
		"rpi-zero-w":       {"raspberrypi,model-zero-w", "brcm,bcm2835"},
		"rpi-zero-2w":      {"raspberrypi,model-zero-2-w", "brcm,bcm2837"},
		"rpi-3":            {"raspberrypi,3-model-b-plus", "brcm,bcm2837"},
		"rpi-4":            {"raspberrypi,4-model-b", "brcm,bcm2711"},
		"beaglebone-black": {"ti,am335x-bone-black-wireless", "ti,am335x-bone-black", "ti,am335x-bone", "ti,am33xx"},
		"qemu-virt":        {"linux,dummy-virt"},
	} {
		if got, err := board.Detect(compatible); got != model || err != nil {
			t.Errorf("%v: %q, %v; want %s", compatible, got, err, model)
		}
	}
	_, err := board.Detect([]string{"sinclair,zx81"})
	if !errors.Is(err, board.ErrUnknownBoard) || !strings.Contains(err.Error(), "sinclair,zx81") || !strings.Contains(err.Error(), "rpi-4") {
		t.Errorf("unknown board: %v", err)
	}
	if err := (board.Config{Model: board.Auto}).Validate(); err != nil {
		t.Error(err)
	}
}

// Every board has all that the layout has, and says where a technician finds it.
func TestBoards(t *testing.T) {
	for _, name := range []string{"rpi-zero-w", "rpi-zero-2w", "rpi-3", "rpi-4", "beaglebone-black", "qemu-virt"} {
		m, err := board.Load(name, []string{"701", "702", "703", "704", "705", "706", "707", "708"})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range slices.Concat(m.Rows, m.Columns, m.LEDs, []string{m.Hook}) {
			p := m.Wiring.Lines[l]
			c, ok := m.Wiring.Chips[p.Chip]
			if !ok || c.Kind == board.GPIOChip && len(p.Expect) == 0 {
				t.Errorf("%s: line %s is at %+v", name, l, p)
			}
			if name != "qemu-virt" && p.Pin == "" {
				t.Errorf("%s: line %s has no pin", name, l)
			}
		}
		if lot, _ := m.Lamp("lot"); lot.Steady == board.NoLine || lot.Red == board.NoLine {
			t.Errorf("%s: lamp of the lot %+v", name, lot)
		}
		if ringer, _ := m.Lamp("ringer"); ringer.Steady == board.NoLine {
			t.Errorf("%s: ringer %+v", name, ringer)
		}
		// The fault lamp must light when the expanders are what is wrong.
		fault, _ := m.Lamp("fault")
		if p := m.Wiring.Lines[m.LEDs[fault.Red]]; m.Wiring.Chips[p.Chip].Kind != board.GPIOChip {
			t.Errorf("%s: the red fault LED is on %s", name, p.Chip)
		}
		if len(m.Sounds) == 0 {
			t.Errorf("%s has no sound card", name)
		}
	}
	zero, _ := board.Load("rpi-zero-w", nil)
	four, _ := board.Load("rpi-4", nil)
	if zero.Wiring.Chips["soc"].Labels[0] != "pinctrl-bcm2835" || four.Wiring.Chips["soc"].Labels[0] != "pinctrl-bcm2711" {
		t.Errorf("labels %v, %v", zero.Wiring.Chips["soc"].Labels, four.Wiring.Chips["soc"].Labels)
	}
}
