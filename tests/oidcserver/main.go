// Command oidcserver is an OpenID provider for tests: the example of github.com/zitadel/oidc, whose library
// is certified by the OpenID Foundation, on 127.0.0.1 only.
//
//	oidcserver PORT REDIRECT-URL USERS.json
package main

import (
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: oidcserver PORT REDIRECT-URL USERS.json")
	}
	port, redirect, users := os.Args[1], os.Args[2], os.Args[3]
	storage.RegisterClients(storage.WebClient("gateway", "not-a-secret-of-anyone", redirect))
	store, err := storage.StoreFromFile(users)
	if err != nil {
		log.Fatal(err)
	}
	router := exampleop.SetupServer("http://localhost:"+port+"/", storage.NewStorage(store), slog.New(slog.NewTextHandler(os.Stderr, nil)), false)
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: router, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
