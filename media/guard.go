package media

// guardRoom is how many octets protect may add to a packet.
const guardRoom = 64

// guard makes what a session sends secret and checks what it receives (SRTP, RFC 3711). A session whose wiring has none
// sends and takes packets in the clear. Each method works in place and returns the packet with its new length; an error
// means that nothing may be sent or taken. None allocates.
type guard interface {
	// protect is called under the lock of the outgoing stream: never twice at the same time.
	protect(packet []byte) ([]byte, error)
	// unprotect is called by the reader only, before anything looks into the packet.
	unprotect(packet []byte) ([]byte, error)
	// protectControl may be called from any goroutine, also while protect runs.
	protectControl(packet []byte) ([]byte, error)
	// unprotectControl is called by the reader only.
	unprotectControl(packet []byte) ([]byte, error)
}
