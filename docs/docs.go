// Package docs holds the pages of this folder of which the program makes manual pages, so that there
// is one text of each.
package docs

import _ "embed"

// Configuration is configuration.md: every key of gateway.yaml and of the user files.
//
//go:embed configuration.md
var Configuration string
