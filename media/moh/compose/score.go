package main

// chord is a bass note and four notes above it, all as MIDI numbers. The four lie where a telephone carries
// them, from about 250 Hz.
type chord struct {
	bass  int
	notes [4]int
}

var (
	fMaj7  = chord{41, [4]int{60, 64, 65, 69}}
	fOverA = chord{45, [4]int{60, 65, 69, 72}}
	dMin7  = chord{38, [4]int{60, 62, 65, 69}}
	d7     = chord{38, [4]int{60, 62, 66, 69}}
	gMin7  = chord{43, [4]int{58, 62, 65, 67}}
	c9sus  = chord{36, [4]int{58, 60, 65, 67}}
	c9     = chord{36, [4]int{58, 62, 64, 67}}
	aMin7  = chord{45, [4]int{60, 64, 67, 69}}
	bMaj7  = chord{46, [4]int{62, 65, 69, 70}} // B flat
	bMin6  = chord{46, [4]int{61, 65, 67, 70}} // B flat minor
)

// harmony is the chord of each bar; two in a bar share it by halves.
var harmony = [bars][]chord{
	{fMaj7}, {dMin7}, {gMin7}, {c9sus, c9}, {aMin7}, {dMin7}, {gMin7, c9}, {fMaj7},
	{fMaj7}, {aMin7}, {bMaj7}, {bMin6}, {fOverA}, {d7}, {gMin7, c9}, {fMaj7},
	{bMaj7}, {aMin7}, {gMin7}, {c9sus, c9},
}

// note is a note of the melody as MIDI number, 0 for a rest, and its length.
type note struct {
	note  int
	beats float64
}

// melody is the tune, bar by bar.
var melody = [bars][]note{
	{{72, 1}, {69, .5}, {72, .5}, {76, 2}},
	{{74, 1.5}, {72, .5}, {69, 2}},
	{{70, 1}, {69, .5}, {70, .5}, {74, 2}},
	{{72, 1.5}, {70, .5}, {67, 2}},
	{{69, 1}, {67, .5}, {69, .5}, {72, 2}},
	{{77, 1.5}, {76, .5}, {74, 1}, {69, 1}},
	{{70, 1}, {74, 1}, {72, .5}, {70, .5}, {67, 1}},
	{{69, 3}, {0, 1}},

	{{72, 1}, {69, .5}, {72, .5}, {77, 2}},
	{{76, 1.5}, {74, .5}, {72, 2}},
	{{74, 1}, {77, 1}, {81, 1.5}, {79, .5}},
	{{77, 1.5}, {79, .5}, {73, 2}},
	{{72, 1.5}, {77, .5}, {81, 2}},
	{{81, 1}, {78, 1}, {74, 2}},
	{{70, .5}, {74, .5}, {77, 1}, {76, 1}, {72, 1}},
	{{77, 3}, {0, 1}},

	{{74, 2}, {77, 2}},
	{{76, 3}, {72, 1}},
	{{70, 2}, {74, 2}},
	{{72, 2}, {67, 1}, {70, 1}},
}
