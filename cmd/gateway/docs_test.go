package main

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"gateway/auth"
	"gateway/config"
)

// TestEveryKeyIsDocumented fails when a configuration key is missing from docs/configuration.md.
func TestEveryKeyIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range append(keys(reflect.TypeFor[config.Config](), ""), keys(reflect.TypeFor[auth.User](), "")...) {
		if key == "name" { // a file's own name
			continue
		}
		if !strings.Contains(string(doc), "`"+key+"`") {
			t.Errorf("docs/configuration.md does not describe `%s`", key)
		}
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
		if typ.Elem().Kind() == reflect.Struct {
			return keys(typ.Elem(), prefix+"[]")
		}
	case reflect.Struct:
		var all []string
		for i := range typ.NumField() {
			f := typ.Field(i)
			tag, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch {
			case option == "inline":
				all = append(all, keys(f.Type, prefix)...)
			case tag != "" && prefix == "":
				all = append(all, keys(f.Type, tag)...)
			case tag != "":
				all = append(all, keys(f.Type, prefix+"."+tag)...)
			}
		}
		return all
	}
	return []string{prefix}
}
