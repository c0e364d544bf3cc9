package ftpbridge

import "testing"

func TestAccount(t *testing.T) {
	for _, asked := range []string{"USER", "PASS"} {
		for account, is := range map[string]error{"": ErrLogin, "wrong": ErrLogin, "blue\xff 7": nil} {
			t.Run(asked+" "+account, func(t *testing.T) {
				srv := (&scripted{files: map[string]string{"/f": "body"}, handlers: map[string]func(*talk, string){
					asked: func(c *talk, _ string) { c.say("332 which account?") },
					"ACCT": func(c *talk, arg string) {
						if arg == "blue\xff 7" {
							c.say("202 fine")
							return
						}
						c.say("530 no such account")
					},
				}}).start(t)
				src := srv.source(t, "")
				src.Account = account
				s, err := Dial(testContext(t), src)
				if is != nil {
					want(t, err, []error{is}, "ccount")
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if got, err := fetchAll(testContext(t), s, "f", 0); err != nil || got != "body" {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
	}
	src, err := ParseSource("ftp://host/")
	if err != nil {
		t.Fatal(err)
	}
	src.Account = "a\r\nDELE x"
	want(t, src.validate(), []error{ErrSource})
}
