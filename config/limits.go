package config

// Limits bound all users of this node together.
type Limits struct {
	Bandwidth Bandwidth `yaml:"bandwidth"`
}

// Bandwidth is a number of bytes a second each way, such as 10MB; "" is no limit.
type Bandwidth struct {
	Up   string `yaml:"up"`
	Down string `yaml:"down"`
}
