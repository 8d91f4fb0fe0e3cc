package console

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// security are the headers of every answer, with their keys as net/http writes them, so that setting them makes no garbage.
var security = func() (list []header) {
	for _, h := range [][2]string{
		// uPlot and Preact set styles through the object model, which this policy allows; style attributes in markup it does not.
		{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
		{"Referrer-Policy", "no-referrer"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Permissions-Policy", "camera=(), microphone=(), geolocation=()"},
	} {
		list = append(list, header{http.CanonicalHeaderKey(h[0]), h[1:]})
	}
	return list
}()

// header is one that never changes.
type header struct {
	key    string
	values []string
}

// guard sets the security headers and refuses requests that a foreign page could make a browser send.
func (c *Console) guard(next http.Handler, addr string) http.Handler {
	hosts := allowedHosts(addr, c.cfg.Hosts)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for i := range security {
			h[security[i].key] = security[i].values[:1:1] // shared: who adds to one of them gets memory of his own
		}
		// A page of another site can have its own name resolve to this address; the name in the request gives it away.
		if len(hosts) > 0 && !slices.Contains(hosts, hostname(r.Host)) {
			fail(w, http.StatusMisdirectedRequest, codeBadRequest, "this server is not called "+hostname(r.Host)+"; add the name to console.hosts")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !c.sameOrigin(r) {
			fail(w, http.StatusForbidden, codeBadRequest, "requests from pages of other origins are refused; add the origin to console.origins")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowedHosts returns the names that the server answers to; none means any. On the loopback only the machine's own names make sense.
func allowedHosts(addr string, configured []string) []string {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	if len(configured) == 0 && (ip == nil || !ip.IsLoopback()) {
		return nil
	}
	hosts := []string{"localhost", "127.0.0.1", "::1", host}
	for _, h := range configured {
		hosts = append(hosts, strings.ToLower(h))
	}
	return hosts
}

func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// sameOrigin reports whether the request comes from our own page, from an allowed one, or from no page at all.
func (c *Console) sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Header.Get("Sec-Fetch-Site") != "cross-site"
	}
	if slices.Contains(c.cfg.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}
