package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// hostile is an OpenID provider that does as it is told, also what none should.
type hostile struct {
	*httptest.Server
	t   *testing.T
	key *ecdsa.PrivateKey

	// What it does otherwise than it should; nil: nothing.
	claims    func(map[string]any)                    // of the ID token
	sign      func(h *hostile, payload []byte) string // in place of its own key
	token     func(w http.ResponseWriter) (done bool) // in place of the token endpoint
	userinfo  map[string]any
	discovery func(map[string]any)

	mu     sync.Mutex
	down   bool
	asked  int                   // for discovery
	logins map[string]url.Values // by code: what the browser brought
}

func newHostile(t *testing.T) *hostile {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{t: t, key: key, logins: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", h.describe)
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		h.answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", h.exchange)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) { h.answer(w, h.userinfo) })
	h.Server = httptest.NewTLSServer(mux)
	t.Cleanup(h.Close)
	return h
}

func (h *hostile) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (h *hostile) describe(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if h.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	about := map[string]any{
		"issuer": h.URL, "authorization_endpoint": h.URL + "/auth", "token_endpoint": h.URL + "/token", "jwks_uri": h.URL + "/keys",
		"userinfo_endpoint":                     h.URL + "/userinfo",
		"id_token_signing_alg_values_supported": []string{"none", "HS256", "ES256"}, // which is not to be believed
	}
	if h.discovery != nil {
		h.discovery(about)
	}
	h.answer(w, about)
}

// login is what a provider does once its user has logged in there: it gives the browser a code.
func (h *hostile) login(location string) (code string) {
	h.t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		h.t.Fatal(err)
	}
	q := u.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("nonce") == "" || q.Get("response_type") != "code" ||
		q.Get("client_id") != testClient || q.Get("redirect_uri") != testRedirect || !strings.HasPrefix(q.Get("scope"), "openid") {
		h.t.Fatalf("the browser was sent to %s", location)
	}
	code = rand.Text()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logins[code] = q
	return code
}

// exchange gives tokens for a code, once, to who proves to have begun (RFC 7636, section 4.6).
func (h *hostile) exchange(w http.ResponseWriter, r *http.Request) {
	if h.token != nil && h.token(w) {
		return
	}
	h.mu.Lock()
	q, ok := h.logins[r.FormValue("code")]
	delete(h.logins, r.FormValue("code"))
	h.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") || r.FormValue("redirect_uri") != testRedirect {
		w.WriteHeader(http.StatusBadRequest)
		h.answer(w, map[string]any{"error": "invalid_grant"})
		return
	}
	c := map[string]any{
		"iss": h.URL, "sub": "1", "aud": testClient, "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(),
		"nonce": q.Get("nonce"), "preferred_username": "anna",
	}
	if h.claims != nil {
		h.claims(c)
	}
	payload, _ := json.Marshal(c)
	sign := h.sign
	if sign == nil {
		sign = signed("ES256", h.key)
	}
	h.answer(w, map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": sign(h, payload)})
}

// signed signs with a key.
func signed(alg jose.SignatureAlgorithm, key any) func(*hostile, []byte) string {
	return func(h *hostile, payload []byte) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
		if err != nil {
			h.t.Error(err)
			return ""
		}
		s, err := signer.Sign(payload)
		if err != nil {
			h.t.Error(err)
			return ""
		}
		text, _ := s.CompactSerialize()
		return text
	}
}

// unsigned is a token with the algorithm "none" (RFC 7519, section 6).
func unsigned(_ *hostile, payload []byte) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	return header + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}
