package slotstest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"parklamp/cmd/internal/slots"
)

// Numbers of the protocol NBD (NetworkBlockDevice/nbd, doc/proto.md).
const (
	nbdMagic        = 0x4e42444d41474943
	nbdOption       = 0x49484156454f5054
	nbdOptionReply  = 0x3e889045565a9
	nbdRequest      = 0x25609513
	nbdReply        = 0x67446698
	fixedNewStyle   = 1
	noZeroes        = 2
	optionAbort     = 2
	optionGo        = 7
	replyAck        = 1
	replyInfo       = 3
	replyUnknown    = 1<<31 + 1
	infoExport      = 0
	infoBlockSize   = 3
	exportFlags     = 1 | 4 // there are flags; FLUSH can be sent
	commandRead     = 0
	commandWrite    = 1
	commandBye      = 2
	commandFlush    = 3
	errorIO         = 5
	errorInvalid    = 22
	longestOption   = 4 << 10
	longestTransfer = 32 << 20
)

// Kind is what a machine does to its card.
type Kind byte

// The kinds of a Request.
const (
	Read Kind = iota
	Write
	Flush
)

// Request is one thing that a machine does to its card.
type Request struct {
	Kind Kind
	At   int64
	Data []byte // what is written; of a read only the length counts
}

// Serve lets a machine use the card by the protocol NBD until it leaves, or until the card has no power any more: then it gets no
// answer, as from a card that is dead, and Serve returns ErrPower. before sees each request first and may call PowerFor.
// Whoever serves a card owns it until Serve returns. A write that the machine did not flush is in doubt, as in Card.
func (c *Card) Serve(conn net.Conn, before func(Request)) error {
	in := bufio.NewReader(conn)
	if err := c.negotiate(in, conn); err != nil {
		return fmt.Errorf("slotstest: NBD: %w", err)
	}
	for {
		var head struct {
			Magic       uint32
			Flags, Type uint16
			Cookie, At  uint64
			Length      uint32
		}
		if err := binary.Read(in, binary.BigEndian, &head); err != nil {
			return nil // the machine was switched off
		}
		if head.Magic != nbdRequest || head.Length > longestTransfer {
			return fmt.Errorf("slotstest: NBD: a request %+v", head)
		}
		answer := binary.BigEndian.AppendUint32(nil, nbdReply)
		answer = binary.BigEndian.AppendUint32(answer, 0)
		answer = binary.BigEndian.AppendUint64(answer, head.Cookie)
		r := Request{At: int64(head.At)}
		var err error
		switch head.Type {
		case commandRead:
			r.Kind = Read
			answer = append(answer, make([]byte, head.Length)...)
			r.Data = answer[len(answer)-int(head.Length):]
			before(r)
			_, err = c.ReadAt(r.Data, r.At)
		case commandWrite:
			r.Kind, r.Data = Write, make([]byte, head.Length)
			if _, err := io.ReadFull(in, r.Data); err != nil {
				return nil // switched off in the middle of it
			}
			before(r)
			_, err = c.WriteAt(r.Data, r.At)
		case commandFlush:
			r.Kind = Flush
			before(r)
			err = c.Sync()
		case commandBye:
			return nil
		default:
			binary.BigEndian.PutUint32(answer[4:], errorInvalid)
		}
		if errors.Is(err, ErrPower) {
			return err
		}
		if err != nil {
			answer = answer[:16]
			binary.BigEndian.PutUint32(answer[4:], errorIO)
		}
		if _, err := conn.Write(answer); err != nil {
			return nil
		}
	}
}

// negotiate agrees on the one export that there is; all options but GO are unknown here.
func (c *Card) negotiate(in io.Reader, out io.Writer) error {
	hello := binary.BigEndian.AppendUint64(nil, nbdMagic)
	hello = binary.BigEndian.AppendUint64(hello, nbdOption)
	if _, err := out.Write(binary.BigEndian.AppendUint16(hello, fixedNewStyle|noZeroes)); err != nil {
		return err
	}
	var flags uint32
	if err := binary.Read(in, binary.BigEndian, &flags); err != nil {
		return err
	}
	for {
		var head struct {
			Magic          uint64
			Option, Length uint32
		}
		if err := binary.Read(in, binary.BigEndian, &head); err != nil {
			return err
		}
		if head.Magic != nbdOption || head.Length > longestOption {
			return fmt.Errorf("an option %+v", head)
		}
		if _, err := io.CopyN(io.Discard, in, int64(head.Length)); err != nil {
			return err
		}
		reply := func(kind uint32, data []byte) error {
			b := binary.BigEndian.AppendUint64(nil, nbdOptionReply)
			b = binary.BigEndian.AppendUint32(b, head.Option)
			b = binary.BigEndian.AppendUint32(b, kind)
			b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
			_, err := out.Write(append(b, data...))
			return err
		}
		switch head.Option {
		case optionGo:
			export := binary.BigEndian.AppendUint16(nil, infoExport)
			export = binary.BigEndian.AppendUint64(export, uint64(len(c.data)))
			export = binary.BigEndian.AppendUint16(export, exportFlags)
			blocks := binary.BigEndian.AppendUint16(nil, infoBlockSize)
			for _, size := range []uint32{slots.Sector, slots.Sector, longestTransfer} { // least, best, most
				blocks = binary.BigEndian.AppendUint32(blocks, size)
			}
			if err := errors.Join(reply(replyInfo, export), reply(replyInfo, blocks)); err != nil {
				return err
			}
			return reply(replyAck, nil)
		case optionAbort:
			return errors.Join(reply(replyAck, nil), errors.New("the machine does not want the card"))
		default:
			if err := reply(replyUnknown, nil); err != nil {
				return err
			}
		}
	}
}
