// CoreDNS with only the plugins that the node uses; the stock program brings every cloud's client with it. No cache: the
// tests change names and expect the next look-up to see it.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/template"
)

func init() {
	// The order in which a query passes through them. In the stock order template is before hosts, and would leave it
	// nothing to answer; here it is the last word.
	dnsserver.Directives = []string{"bind", "errors", "kubernetes", "hosts", "template"}
}

func main() { coremain.Run() }
