package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"gateway/tests/servers"
)

// browserTime bounds all that a browser does in one test, and waitTime what a page is waited for.
const (
	browserTime = 8 * time.Minute
	waitTime    = time.Minute
)

// browser is Chromium with a fresh profile, on a page of a gateway.
type browser struct {
	t    testing.TB
	ctx  context.Context //nolint:containedctx // of one test
	base string          // https://host:port

	mu       sync.Mutex
	messages []string // of the console: errors, and what the page's policy refused
}

func newBrowser(t testing.TB, base string) *browser {
	t.Helper()
	var said bytes.Buffer
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(servers.Tool(t, "chromium")), chromedp.UserDataDir(t.TempDir()), chromedp.CombinedOutput(&said),
		chromedp.NoSandbox, // there is no other way as root
		chromedp.IgnoreCertErrors, chromedp.WindowSize(1280, 800), chromedp.Env("TZ=UTC", "LC_ALL=C.UTF-8"),
		chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := context.WithTimeout(context.Background(), browserTime)
	allocated, end := chromedp.NewExecAllocator(ctx, options...)
	tab, shut := chromedp.NewContext(allocated)
	b := &browser{t: t, ctx: tab, base: base}
	var listening sync.WaitGroup
	t.Cleanup(func() {
		_ = chromedp.Cancel(tab) // waits for the browser to end, so that the profile can be removed
		shut()
		end()
		cancel()
		listening.Wait()
		if t.Failed() {
			t.Logf("Chromium: %.4000s\nconsole: %s", said.String(), strings.Join(b.messages, "\n"))
		}
	})
	console := chromedp.Console(tab)
	dialogs := chromedp.Events(tab, page.JavascriptDialogOpening) // "Leave this page?"
	listening.Go(func() {
		for _, err := range dialogs {
			if err != nil {
				return
			}
			_, _ = chromedp.Call(tab, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true}) // else what waits for it fails
		}
	})
	listening.Go(func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleException || m.Type == chromedp.ConsoleWarning {
				b.mu.Lock()
				b.messages = append(b.messages, fmt.Sprintf("%s: %s (%s)", m.Type, m.Text, m.URL))
				b.mu.Unlock()
			}
		}
	})
	return b
}

// do runs steps in the browser.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTime)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("in the browser: %v\n%s", err, b.describe())
	}
}

// describe is what there is to see, for when a test fails.
func (b *browser) describe() string {
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%.3000s", text)
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base + path))
}

// eval is the value of an expression on the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTime)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("in the browser: %s: %v\n%s", expression, err, b.describe())
	}
	return v
}

// wait waits until an expression holds, also across pages.
func (b *browser) wait(expression string) {
	b.t.Helper()
	for end := time.Now().Add(waitTime); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		cancel()
		if err == nil && ok {
			return
		}
		if b.ctx.Err() != nil || time.Now().After(end) {
			b.t.Fatalf("it never held that %s (%v)\n%s", expression, err, b.describe())
		}
	}
}

// waitText waits for a text anywhere on the page.
func (b *browser) waitText(text string) {
	b.t.Helper()
	b.wait(fmt.Sprintf(`document.body !== null && document.body.innerText.includes(%q)`, text))
}

// click clicks on what has a text, as people find it.
func (b *browser) click(text string) {
	b.t.Helper()
	quoted, _ := json.Marshal(text)
	find := fmt.Sprintf(`[...document.querySelectorAll("a, button, summary")].find((e) => e.offsetParent !== null && (e.innerText.trim() === %s || e.ariaLabel === %[1]s))`, quoted)
	b.wait(find + " !== undefined")
	eval[bool](b, "("+find+".click(), true)")
}

// fill puts text where a selector leads, and presses Enter.
func (b *browser) fill(selector, text string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("document.querySelector(%q) !== null", selector))
	eval[bool](b, fmt.Sprintf(`((e) => { e.value = ""; e.focus(); return true })(document.querySelector(%q))`, selector))
	b.do(chromedp.KeyEvent(text + "\r"))
}

// drop drops files and folders of this machine on the page.
func (b *browser) drop(paths ...string) {
	b.t.Helper()
	for _, kind := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
		_, err := chromedp.Call(b.ctx, input.DispatchDragEvent, input.DispatchDragEventParams{
			Type: kind, X: 400, Y: 300, Data: &input.DragData{Items: []*input.DragDataItem{}, Files: paths, DragOperationsMask: 1},
		})
		if err != nil {
			b.t.Fatalf("drop: %v", err)
		}
	}
}

// looks sets the size of the window and the scheme of colours.
func (b *browser) looks(width, height int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// scripts turns scripts on or off.
func (b *browser) scripts(on bool) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
	if err != nil {
		b.t.Fatal(err)
	}
}

// barriers fails for what axe-core finds that keeps somebody from using the page.
func (b *browser) barriers(axe, what string) {
	b.t.Helper()
	eval[bool](b, axe+"; true")
	found := eval[[]struct {
		ID, Impact, Help string
		Nodes            []string
	}](b, `axe.run(document).then((r) => r.violations.map((v) => ({ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map((n) => n.html + " " + n.failureSummary)})))`)
	for _, v := range found {
		if v.Impact == "serious" || v.Impact == "critical" {
			b.t.Errorf("%s: %s (%s): %s\n%.1500s", what, v.Help, v.Impact, v.ID, strings.Join(v.Nodes, "\n"))
		} else {
			b.t.Logf("%s: %s (%s): %.300s", what, v.Help, v.Impact, strings.Join(v.Nodes, " "))
		}
	}
	if passed := eval[int](b, `axe.run(document, {resultTypes: ["passes"]}).then((r) => r.passes.length)`); passed < 10 {
		b.t.Errorf("%s: only %d rules were applied", what, passed)
	}
}

// complaints fails for what was written to the console, but for what the test expects.
func (b *browser) complaints(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, m := range b.messages {
		for _, e := range expected {
			if strings.Contains(m, e) {
				continue next
			}
		}
		b.t.Errorf("console: %s", m)
	}
}

// picture keeps what is to be seen in docs/NAME.png, if GATEWAY_PICTURES is set.
func (b *browser) picture(name string) {
	b.t.Helper()
	if os.Getenv("GATEWAY_PICTURES") == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, waitTime)
	defer cancel()
	data, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(servers.ModuleRoot(b.t), "docs", name+".png"), data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
