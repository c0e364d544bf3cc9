package servers

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// OIDCUser is somebody who can log in at an OIDC provider.
type OIDCUser struct {
	ID, Username, Password, Email string
	EmailVerified                 bool
}

// OIDC is a running OpenID provider, the example of zitadel/oidc. Its version is pinned in tests/oidcserver.
type OIDC struct{ Issuer, ClientID, ClientSecret string }

// StartOIDC runs one on 127.0.0.1 until the test ends. It sends browsers back to redirect, and knows the users.
func StartOIDC(t testing.TB, redirect string, users ...OIDCUser) *OIDC {
	t.Helper()
	program := nested{"oidcserver", "github.com/zitadel/oidc/v3", "."}.program(t, "oidcserver1") // a change of its main.go takes another number
	run := scratch(t, "oidc")
	byID := map[string]OIDCUser{}
	for _, u := range users {
		byID[u.ID] = u
	}
	data, err := json.Marshal(byID)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(run, "users.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(freePort(t, "127.0.0.1"))
	startProgram(t, run, net.JoinHostPort("127.0.0.1", port), launch{argv: []string{program, port, redirect, file}})
	return &OIDC{Issuer: "http://localhost:" + port + "/", ClientID: "gateway", ClientSecret: "not-a-secret-of-anyone"}
}
