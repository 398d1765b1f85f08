package board

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrUnknownBoard means that no model is for the machine that this runs on.
var ErrUnknownBoard = errors.New("no model is for this board")

// deviceTree is where the kernel shows what the board is compatible with: texts that each end with a NUL, from the most
// special to the most general (Devicetree Specification 0.4, §2.3.1).
const deviceTree = "/proc/device-tree/compatible"

// Detect finds the model for a board that calls itself so: the model that names the most special of the words.
func Detect(compatible []string) (string, error) {
	table, err := compatibles()
	if err != nil {
		return "", err
	}
	for _, word := range compatible {
		if name, ok := table[word]; ok {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: it is %s (there are: %s)", ErrUnknownBoard, strings.Join(compatible, ", "), strings.Join(Names(), ", "))
}

// Detected finds the model of the machine that this runs on.
func Detected() (string, error) {
	text, err := os.ReadFile(deviceTree)
	if err != nil {
		return "", fmt.Errorf("%w: it has no device tree: %w", ErrUnknownBoard, err)
	}
	return Detect(strings.FieldsFunc(string(text), func(r rune) bool { return r == 0 }))
}

// compatibles is the table of Detect, out of the models' own data.
func compatibles() (map[string]string, error) {
	table := map[string]string{}
	for _, name := range Names() {
		m, err := Load(name, nil)
		if err != nil {
			return nil, err
		}
		for _, word := range m.Compatible {
			if other, twice := table[word]; twice {
				return nil, fmt.Errorf("models %s and %s are both for %q", other, name, word)
			}
			table[word] = name
		}
	}
	return table, nil
}
