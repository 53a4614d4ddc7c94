# Evaluates the Vagrantfile for each provider, and prints the machines that come of it:
# PROVIDER MACHINE ADDRESS MEMORY CPUS. Vagrant itself does it, with its own providers and
# vagrant-libvirt where it is installed; the settings of providers that are absent are taken down as given.
#
#   ruby providers.rb
#
# `ruby providers.rb qemu CPU SYSTEM...` prints instead what qemu is given on such hosts, then for each machine, and
# `ruby providers.rb kubeconfig FILE SSH-HOST` the file as the host gets it with each provider.

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
names = env.machine_names # the functions of the Vagrantfile are there from here on
if ARGV.first == "kubeconfig"
  PROVIDERS.each { |provider| puts "#{provider}:", kubeconfig(File.read(ARGV[1]), provider, ARGV[2]) }
  exit
end
if ARGV.first == "qemu"
  ARGV.drop(1).each_slice(2) do |host|
    processor(given = Given.new, *host)
    puts [*host, *%i[arch machine cpu net_device].map { |key| given.public_send(key) || "-" }].join(" ")
  end
end
PROVIDERS.each do |provider|
  names.each do |name|
    # The provider decides nothing that a machine's box would: none is needed to look.
    config = env.vagrantfile.machine_config(name, provider, nil, nil, false)[:config]
    config.finalize!
    if ARGV.first == "qemu"
      next if provider != :qemu
      puts [name, *config.vm.get_provider_config(provider).extra_qemu_args].join(" ")
      next
    end
    address = config.vm.networks.filter_map { |kind, options| options[:ip] if kind == :private_network }.first
    puts [provider, name, address, *given_size(provider, config.vm.get_provider_config(provider))].join(" ")
  end
end
