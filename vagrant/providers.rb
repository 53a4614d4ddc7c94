# Evaluates the Vagrantfile for each provider, and prints the machines that come of it:
# PROVIDER MACHINE ADDRESS MEMORY CPUS. Vagrant itself does it, with its own providers and
# vagrant-libvirt where it is installed; the settings of providers that are absent are taken down as given.
#
#   ruby providers.rb

ENV["VAGRANT_HOME"] ||= Dir.mktmpdir if require "tmpdir"
require "vagrant"

# Given is the settings of a provider that is not installed here.
class Given < Vagrant.plugin("2", :config)
  def vmx
    @vmx ||= {}
  end

  def method_missing(name, *values)
    @given ||= {}
    name.end_with?("=") ? @given[name.to_s.delete_suffix("=")] = values.first : @given[name.to_s]
  end

  def respond_to_missing?(_, _ = false)
    true
  end
end

PROVIDERS = %i[virtualbox libvirt hyperv vmware_desktop parallels qemu].freeze
present = Vagrant.plugin("2").manager.providers.to_hash.keys
(PROVIDERS - present).each do |provider|
  Class.new(Vagrant.plugin("2")) do
    name provider.to_s
    provider(provider) { Class.new(Vagrant.plugin("2", :provider)) }
    config(provider, :provider) { Given }
  end
end

# given_size of a machine: its memory in MiB and its processors, in the provider's own words.
def given_size(provider, config)
  case provider
  when :vmware_desktop then config.vmx.values_at("memsize", "numvcpus")
  when :qemu then [config.memory, config.smp]
  when :virtualbox # kept as the customizations that VBoxManage is called with
    config.customizations.filter_map { |_, (_, _, flag, value)| value if %w[--memory --cpus].include?(flag) }
  else [config.memory, config.cpus]
  end
end

env = Vagrant::Environment.new(cwd: __dir__, ui_class: Vagrant::UI::Silent)
PROVIDERS.each do |provider|
  env.machine_names.each do |name|
    # The provider decides nothing that a machine's box would: none is needed to look.
    config = env.vagrantfile.machine_config(name, provider, nil, nil, false)[:config]
    config.finalize!
    address = config.vm.networks.filter_map { |kind, options| options[:ip] if kind == :private_network }.first
    puts [provider, name, address, *given_size(provider, config.vm.get_provider_config(provider))].join(" ")
  end
end
