package sip_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

// BenchmarkRequest measures whole transactions between two endpoints over the
// kernel's loopback, 16 at a time: OPTIONS is answered without a transaction,
// MESSAGE by a handler, INVITE by 180, 200 and ACK.
func BenchmarkRequest(b *testing.B) {
	port := freePort(b)
	var es []*sip.Endpoint
	for i := 1; i <= 2; i++ {
		cfg := sip.Default()
		at := fmt.Sprintf("127.0.0.%d:%d", i, port)
		cfg.Listen = []string{"udp:" + at, "tcp:" + at}
		cfg.MaxDatagramsPerSourcePerSecond, cfg.MaxTransactions = 1<<20, 1<<20
		es = append(es, siptest.Start(b, cfg, nil, func(e *sip.Endpoint) {
			e.Handle("MESSAGE", respond(200, "OK"))
			e.Handle("ACK", func(*gosip.Request, *sip.ServerTx) {})
			e.Handle("INVITE", func(req *gosip.Request, tx *sip.ServerTx) {
				_ = tx.Respond(sip.NewResponse(req, 180, "Ringing"))
				_ = tx.Respond(sip.NewResponse(req, 200, "OK"))
			})
		}))
	}
	var id atomic.Int64
	for _, kind := range []string{"udp", "tcp"} {
		uri := fmt.Sprintf("sip:bob@127.0.0.2:%d;transport=%s", port, kind)
		for _, method := range []string{"OPTIONS", "MESSAGE", "INVITE"} {
			b.Run(kind+"/"+method, func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(8)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						callID := fmt.Sprint("bench-", id.Add(1))
						tx := es[0].Request(request(method, uri, callID, 1), sip.Send{})
						final := false
						for res := range tx.Responses() {
							if res.StatusCode != 200 {
								continue
							}
							final = true
							if method == "INVITE" {
								ack := request("ACK", uri, callID, 1)
								tag, _ := res.To().Params.Get("tag")
								ack.To().Params.Add("tag", tag)
								if err := es[0].Ack(ack, sip.Send{}); err != nil {
									b.Error(err)
								}
								break // it stays open for 64*T1
							}
						}
						if !final {
							b.Errorf("%s: %v", method, tx.Err())
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
			})
		}
	}
}
