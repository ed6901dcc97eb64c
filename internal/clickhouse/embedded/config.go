package embedded

import (
	_ "embed"
	"text/template"
)

//go:embed config.xml.tmpl
var configText string

//go:embed users.xml.tmpl
var usersText string

var (
	configTemplate = template.Must(template.New(configFile).Funcs(template.FuncMap{"xml": xmlText}).Parse(configText))
	usersTemplate  = template.Must(template.New(usersFile).Funcs(template.FuncMap{"xml": xmlText}).Parse(usersText))
)
