package grafana

// The parts of Grafana's dashboard model that this dashboard uses, in the
// order in which they stand in the JSON.

type dashboard struct {
	UID           string     `json:"uid"`
	Title         string     `json:"title"`
	Description   string     `json:"description"`
	Tags          []string   `json:"tags"`
	SchemaVersion int        `json:"schemaVersion"`
	Editable      bool       `json:"editable"`
	GraphTooltip  int        `json:"graphTooltip"` // 1: one crosshair for all panels
	Refresh       string     `json:"refresh"`
	Time          timeRange  `json:"time"`
	Templating    templating `json:"templating"`
	Panels        []panel    `json:"panels"`
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type templating struct {
	List []templateVar `json:"list"`
}

type templateVar struct {
	Name        string      `json:"name"`
	Label       string      `json:"label"`
	Description string      `json:"description,omitempty"`
	Type        string      `json:"type"`
	Query       any         `json:"query"`
	Datasource  *datasource `json:"datasource,omitempty"`
	Current     *selection  `json:"current,omitempty"`
	Multi       bool        `json:"multi"`
	IncludeAll  bool        `json:"includeAll"`
	Refresh     int         `json:"refresh,omitempty"` // 1: when the dashboard loads, 2: when its time changes
	Sort        int         `json:"sort,omitempty"`
	Hide        int         `json:"hide"`
}

type selection struct {
	Text  any `json:"text"`
	Value any `json:"value"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// variableQuery is what the data source's variable editor stores.
type variableQuery struct {
	EditorType string `json:"editorType"`
	RawSQL     string `json:"rawSql"`
	RefID      string `json:"refId"`
}

type panel struct {
	ID          int            `json:"id"`
	Type        string         `json:"type"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	GridPos     gridPos        `json:"gridPos"`
	Datasource  datasource     `json:"datasource"`
	Targets     []target       `json:"targets"`
	FieldConfig fieldConfig    `json:"fieldConfig"`
	Options     map[string]any `json:"options"`
}

type gridPos struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

// target is a query as version 4 of the data source stores it.
type target struct {
	RefID         string     `json:"refId"`
	Datasource    datasource `json:"datasource"`
	PluginVersion string     `json:"pluginVersion"`
	EditorType    string     `json:"editorType"`
	QueryType     string     `json:"queryType"`
	Format        Format     `json:"format"`
	RawSQL        string     `json:"rawSql"`
}

type fieldConfig struct {
	Defaults  fieldDefaults   `json:"defaults"`
	Overrides []fieldOverride `json:"overrides"`
}

type fieldDefaults struct {
	Unit        string         `json:"unit,omitempty"`
	DisplayName string         `json:"displayName,omitempty"`
	Min         *float64       `json:"min,omitempty"`
	Max         *float64       `json:"max,omitempty"`
	Custom      map[string]any `json:"custom"`
}

type fieldOverride struct {
	Matcher    matcher    `json:"matcher"`
	Properties []property `json:"properties"`
}

type matcher struct {
	ID      string `json:"id"`
	Options string `json:"options"`
}

type property struct {
	ID    string `json:"id"`
	Value any    `json:"value"`
}
