package console

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// feed serves /ws: see protocol.go.
func (c *Console) feed(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{
		HandshakeTimeout: 5 * time.Second,
		ReadBufferSize:   4 << 10,
		WriteBufferSize:  4 << 10,
		Subprotocols:     []string{subprotocol},
		CheckOrigin:      func(r *http.Request) bool { return c.sameOrigin(r) },
		Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			c.metrics.refused.WithLabelValues("handshake").Inc()
			fail(w, status, codeBadRequest, reason.Error())
		},
	}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	refuse := func(code int, reason, metric string) {
		c.metrics.refused.WithLabelValues(metric).Inc()
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
		conn.Close()
	}
	if conn.Subprotocol() != subprotocol {
		refuse(websocket.CloseProtocolError, "offer the subprotocol "+subprotocol, "protocol")
		return
	}
	c.mu.Lock()
	parent := c.ends
	c.mu.Unlock()
	ctx, stop := context.WithCancel(parent)
	defer stop()
	client := &client{
		conn: conn, hub: c.hub, stop: stop,
		requests: make(chan request), wake: make(chan struct{}, 1), ready: make(chan *subscription), subs: map[uint32]*subscription{},
		deps: feedDeps{
			hello: func() hello {
				return hello{Type: "hello", Server: "andon " + c.deps.Status().Version, Epoch: c.epoch, Time: time.Now().UnixMilli(), MaxHz: ticksPerSecond}
			},
			pipeline: c.pipeline, history: c.pages, maxPoints: c.cfg.SeriesPoints,
		},
	}
	if !c.hub.join(client, c.cfg.MaxClients) {
		refuse(closeBusy, "too many live feeds are open", "full")
		return
	}
	defer c.hub.leave(client)
	client.serve(ctx)
}
