package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/config"
)

// TestKeysAreDocumented holds the tables of docs/configuration.md to the keys of gateway.yaml and of
// user files, both ways: each key has a row, and no row has a key that is not there.
func TestKeysAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	known := append(keys(reflect.TypeFor[config.Config](), ""), keys(reflect.TypeFor[auth.User](), "")...)
	documented := documentedKeys(string(doc))
	for _, key := range known {
		if !slices.Contains(documented, key) {
			t.Errorf("no table of docs/configuration.md has a row for `%s`", key)
		}
	}
	for _, key := range documented {
		if !slices.Contains(known, key) {
			t.Errorf("docs/configuration.md has a row for `%s`, and there is no such key", key)
		}
	}
}

// TestNoSecretInTheConfiguration: a secret is named by a file or a variable, never written into
// gateway.yaml, where everybody would find it who reads the configuration. The password of a user
// file is a hash.
func TestNoSecretInTheConfiguration(t *testing.T) {
	secret := regexp.MustCompile(`password|passphrase|secret|token|_key$|\.key$`)
	elsewhere := regexp.MustCompile(`_(file|env)$|^https\.(certificates\[\]\.)?key$`) // these are the names of files
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		if secret.MatchString(key) && !elsewhere.MatchString(key) {
			t.Errorf("%s would hold a secret; make it %s_file and %s_env", key, key, key)
		}
	}
}

// documentedKeys are the keys in the first column of the tables that are headed "key".
func documentedKeys(doc string) []string {
	var found []string
	quoted := regexp.MustCompile("`([^`]+)`")
	inside := false
	for line := range strings.Lines(doc) {
		cells := strings.Split(line, "|")
		switch {
		case len(cells) < 3:
			inside = false
		case strings.TrimSpace(cells[1]) == "key":
			inside = true
		case inside:
			for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
				found = append(found, m[1])
			}
		}
	}
	return found
}

// TestDocumentedKeys: what is no row of such a table is not taken for one.
func TestDocumentedKeys(t *testing.T) {
	doc := "`a` here\n\n| key | meaning |\n|---|---|\n| `b.c`, `d` | as `e` |\n\n| name | what |\n|---|---|\n| `f` | no |\n"
	if got := documentedKeys(doc); !slices.Equal(got, []string{"b.c", "d"}) {
		t.Errorf("found %q", got)
	}
}

// keys lists the dotted YAML keys of a struct.
func keys(typ reflect.Type, prefix string) []string {
	switch typ.Kind() {
	case reflect.Pointer:
		return keys(typ.Elem(), prefix)
	case reflect.Map:
		return keys(typ.Elem(), prefix+".NAME")
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Struct && typ.Elem().NumField() > 0 && typ.Elem().Field(0).Tag.Get("yaml") != "" {
			return keys(typ.Elem(), prefix+"[]")
		}
	case reflect.Struct:
		if typ == reflect.TypeFor[time.Time]() {
			break
		}
		var all []string
		for i := range typ.NumField() {
			f := typ.Field(i)
			tag, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch {
			case option == "inline":
				all = append(all, keys(f.Type, prefix)...)
			case tag == "" || tag == "-":
			case prefix == "":
				all = append(all, keys(f.Type, tag)...)
			default:
				all = append(all, keys(f.Type, prefix+"."+tag)...)
			}
		}
		return all
	}
	return []string{prefix}
}
