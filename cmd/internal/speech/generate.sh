#!/usr/bin/env bash
# Speaks the two sides of the demonstration's conversation with espeak-ng and stores them as 8 kHz mu-law without a
# header. Needs the Debian packages espeak-ng and sox; the result is committed.
set -euo pipefail
cd "$(dirname "$0")"
speak() { # NAME VOICE SPEED TEXT
	espeak-ng -v "$2" -s "$3" -w "$1.wav" "$4"
	sox --norm=-6 -D "$1.wav" -t raw -r 8000 -c 1 -e mu-law -b 8 "$1.ulaw"
	rm "$1.wav"
}
speak caller en-gb 150 "Good morning. This is Martha Lindqvist, from Harbour Freight. I am calling about order four seven one nine. \
The truck stands at your gate, and the driver asks which dock he should take. Could somebody from the warehouse please help me?"
speak worker en-us+f3 165 "Hello, this is the loading dock. I have your order here, it is on pallet twelve. \
Please send the driver to door number nine, we are waiting for him there. Thank you for your patience."
